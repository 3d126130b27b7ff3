"""Training on the rich world: blocks, texts, networks that grow into it, the recogniser, all at once."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_world import ENTRY
from toy_world import WORLD as TOY
from transformers import CLIPTokenizer

from sctd.embedded.captions import with_view, write_tokenizer
from sctd.embedded.data import open_views, trace_blocks
from sctd.embedded.diffusion import Batches, save_weights
from sctd.embedded.growth import grown
from sctd.embedded.heads import AllOf, OneOf, shares_right
from sctd.embedded.latents import Lessons, draw_sample, token_numbers
from sctd.embedded.networks import TextAndUNet, load_networks
from sctd.embedded.sample import load_sampler, sample_images, views_all_round
from sctd.embedded.traced import Pictures
from sctd.embedded.train import Recipe, main
from sctd.embedded.training import Length, step_generator
from sctd.embedded.vae import new_vae, train_vae
from sctd.embedded.weights import read_card, write_card
from sctd.embedded.words import VIEW_PHRASES, VIEW_WORDS
from sctd.embedded.world import world_named, world_of
from sctd.embedded.worlds.rich.draw import evaluated, held_out, look
from sctd.embedded.worlds.rich.grammar import check_prompt
from sctd.embedded.worlds.rich.questions import TRAITS
from sctd.embedded.worlds.rich.subjects import Subject, Thing
from sctd.embedded.worlds.rich.table1 import PROMPTS
from sctd.embedded.worlds.rich.tracing import TRACING, RichTracing, RichViews
from sctd.errors import InputError, PromptError
from sctd.prior import families
from sctd.prior.views import FEATURES, PLACES, last_places

RICH = world_named("rich")
FEW = RichTracing(subjects=3, group=2, mapped=1)


def _silent(line: str) -> None:
    del line


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CLIPTokenizer]:
    made = {}
    for world in (TOY, RICH):
        folder = tmp_path_factory.mktemp("tokenizer")
        write_tokenizer(folder, world.every_caption(), world.text_length)
        made[world.name] = CLIPTokenizer.from_pretrained(folder)
    return made


# -- views --


def test_blocks_are_found_again_and_mean_what_they_show(tmp_path: Path) -> None:
    trace_blocks(FEW, tmp_path, 1, 5, _silent, size=16)
    trace_blocks(FEW, tmp_path, 2, 5, _silent, size=16)
    views = open_views(FEW, tmp_path)
    assert isinstance(views, RichViews)
    assert len(views) == 2 * FEW.rows == 20
    assert [subject.map for subject in views.subjects[:10]] == [*[""] * 6, *["normal"] * 2, *["albedo"] * 2]
    assert views.subjects[0] == views.subjects[1] == replace(views.subjects[6], map="")
    for i in (3, 7, 9, 12, 19):  # a normal map, an albedo map, and views of both blocks
        at = torch.tensor([i])
        grey = torch.full((1, 3), 0.6)
        truth, coverage = RICH.truth(views.subjects[i], views.poses[at].over(grey), 16)
        maps = views.maps[at].float() / 255
        torch.testing.assert_close(maps[:, 3], coverage, atol=0.0021, rtol=0)
        shown = maps[:, :3] + (1 - maps[:, 3:]) * 0.6
        torch.testing.assert_close(shown, truth, atol=0.006, rtol=0)
    with pytest.raises(InputError, match="another seed, size or world"):
        trace_blocks(TOY.tracing, tmp_path, 1, 5, _silent, size=16)
    with pytest.raises(InputError, match="another world"):
        open_views(replace(FEW, group=3), tmp_path)


def test_a_drawn_picture_has_its_subject_its_camera_and_its_background(tmp_path: Path) -> None:
    trace_blocks(FEW, tmp_path, 1, 6, _silent, size=16)
    views = open_views(FEW, tmp_path)
    pictures = views.draw(4, step_generator(0, 1))
    for i, subject in enumerate(pictures.subjects):
        truth, _ = RICH.truth(subject, pictures.cameras[i : i + 1], 16)
        torch.testing.assert_close(pictures.images[i : i + 1], truth, atol=0.006, rtol=0)
    cut = views.draw(4, step_generator(0, 1), crop=8)
    assert cut.images.shape == (4, 3, 8, 8)
    assert cut.subjects == pictures.subjects


def test_no_subject_to_learn_from_is_one_of_table_1_or_of_the_evaluated() -> None:
    combined = [check_prompt(prompt) for prompt in PROMPTS]
    combined = [subject for subject in combined if subject != Subject(Thing(subject.kind))]
    apart = {look(subject) for subject in (*combined, *evaluated())}
    assert len(combined) == 30
    assert len({subject.kind for subject in evaluated()}) == len(evaluated()) == 48
    drawn = [subject for number in range(60) for subject in TRACING.drawn(1, number)]
    assert not {look(subject) for subject in drawn} & apart
    assert not any(held_out(subject) for subject in (*drawn, *evaluated()))
    for subject in evaluated():
        assert check_prompt(str(subject)) == subject


# -- texts --


def test_every_word_is_one_token_and_every_text_fits(tokenizers: dict[str, CLIPTokenizer]) -> None:
    tokenizer, rng = tokenizers["rich"], random.Random(4)
    texts = [
        with_view(RICH.caption(RICH.draw(rng), rng), rng.choice(list(VIEW_WORDS)), rng) for _ in range(1500)
    ]
    texts += [f"{prompt}, {phrase}" for prompt in PROMPTS for phrase in VIEW_PHRASES]
    for text in texts:
        pieces = tokenizer.tokenize(text)
        assert all(piece.endswith("</w>") for piece in pieces), (text, pieces)
        assert len(pieces) + 2 <= RICH.text_length, text


def test_the_unet_is_told_the_last_places_of_a_long_text() -> None:
    end = 9
    short = [1, 2, 3, *[end] * 29]
    full = [1, *[2] * 18, *[end] * 13]
    longer = [1, *range(20, 43), *[end] * 8]  # 24 words and marks, and the end
    tokens = torch.tensor([short, full, longer, [1] * 31 + [end]])
    places = torch.arange(32.0)[None, :, None].expand(4, 32, 2)
    told = last_places(places, tokens, end)
    assert told.shape == (4, PLACES, 2)
    assert told[:, 0, 0].tolist() == [0, 0, 5, 12]
    assert told[:, -1, 1].tolist() == [19, 19, 24, 31]
    torch.testing.assert_close(last_places(places[:, :16], tokens[:, :16], end), places[:, :16])


def test_networks_that_grow_say_the_same_of_what_they_knew(tokenizers: dict[str, CLIPTokenizer]) -> None:
    torch.manual_seed(3)
    model = TextAndUNet(tokenizers["toy"]).eval()
    for weight in model.text_encoder.parameters():  # the places and words of new ones hardly differ
        weight.data += 0.1 * torch.randn(weight.shape)
    larger = grown(model, tokenizers["toy"], tokenizers["rich"]).eval()
    texts = ["", "a red ball", "a blue box, seen from behind", "overhead view of a blue sphere"]
    z = torch.randn(4, 8, 16, 16)
    features = torch.randn(4, FEATURES)
    t = torch.full((4,), 300)
    with torch.no_grad():
        before, after = (
            network.encode(token_numbers(tokenizers[name], texts))
            for name, network in (("toy", model), ("rich", larger))
        )
        torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            larger(z, t, after, features), model(z, t, before, features), rtol=1e-4, atol=1e-5
        )
        new = larger.encode(token_numbers(tokenizers["rich"], ["a red corgi wearing a crown"] * 2))
    assert (new[0] - after[1]).abs().max() > 0.1


# -- the recogniser --


@pytest.mark.parametrize(
    ("prompt", "color", "traits"),
    [
        ("a bear dressed in medieval armor", None, {"wears armour", "wears helmet"}),
        ("a yellow school bus", "yellow", set()),
        ("a school bus", "yellow", set()),
        ("a car made of cheese", None, {"style cheese"}),
        ("normal map of a red car", None, set()),
        ("a squirrel flying a biplane", None, {"with biplane"}),
        ("a dancing blue fox playing a violin", "blue", {"pose dancing", "holds violin"}),
    ],
)
def test_what_a_recogniser_should_say(prompt: str, color: str | None, traits: set[str]) -> None:
    subject = check_prompt(prompt)
    asked = RICH.questions.asked(subject, "back")
    assert asked == {"kind": subject.kind, "color": color, "traits": traits, "view": "back"}
    assert traits <= set(TRAITS)


def test_every_trait_that_is_drawn_has_a_name() -> None:
    for number in range(30):
        for subject in TRACING.drawn(2, number):
            assert RICH.questions.asked(subject, "front")["traits"] <= set(TRAITS)


def test_answers_are_counted_where_something_was_asked() -> None:
    one, several = OneOf(("a", "b", "c")), AllOf(("x", "y", "z"))
    logits = torch.tensor([[1.0, 2.0, 0.0], [3.0, -1.0, 0.0]])
    assert one.answers(logits) == ["b", "a"]
    assert several.answers(logits) == [{"x", "y"}, {"x"}]
    assert one.target(["c", None]).tolist() == [2, -1]
    assert several.target([{"z", "x"}, set()]).tolist() == [[1, 0, 1], [0, 0, 0]]
    each = -torch.log_softmax(logits, 1)
    torch.testing.assert_close(one.loss(logits, one.target(["c", None])), each[0, 2] / 2)
    yes = torch.sigmoid(logits)
    wanted = -(yes[0, 0].log() + (1 - yes[0, 1]).log() + yes[0, 2].log() + (1 - yes[1]).log().sum()) / 2
    torch.testing.assert_close(several.loss(logits, several.target([{"z", "x"}, set()])), wanted)
    heads = {"one": one, "several": several, "view": one}
    subjects = [check_prompt("a car"), check_prompt("an apple")]
    answers = [{"one": "b", "several": {"x", "y"}, "view": "a"}, {"one": "a", "several": {"x"}, "view": "b"}]
    right = [{"one": "b", "several": {"x", "z"}, "view": "a"}, {"one": None, "several": {"x"}, "view": "a"}]
    assert shares_right(heads, subjects, answers, right) == {"one": 1, "several": 2 / 3, "view": 1}


# -- everything --


def test_a_training_from_another_worlds_weights_answers_the_rich_worlds_prompts(
    tmp_path: Path, tokenizers: dict[str, CLIPTokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(*ENTRY)
    torch.manual_seed(5)
    begun = tmp_path / "own"
    save_weights(new_vae(), TextAndUNet(tokenizers["toy"]), tokenizers["toy"], begun)
    write_card({"world": "toy"}, begun)
    families.check_prompt(str(begun), "a red ball")
    run = tmp_path / "run"
    tokenizers["rich"].save_pretrained(run / "tokenizer")  # as a training that was interrupted there
    few = Length(steps=2)
    batches = Batches(size=4, new=2, pool=8, first=4)
    recipe = Recipe(1, 64, None, few, batches, few, scenes=1 / 960, samples=2)
    weights = main(run, 1, True, _silent, recipe, begun, world="rich")

    card = read_card(weights)
    assert card["world"] == world_of(weights).name == "rich"
    heads = {"kind", "color", "traits", "view"}
    assert set(card["recogniser"]) == heads
    assert heads | {f"{name}_by_camera" for name in heads} < set(card["evaluation"])
    assert card["training"]["diffusion"]["step"] == 2
    prompt = PROMPTS[13]
    text = f"{prompt}, seen from the left side of it that is"  # longer than the UNet is told
    name = str(weights)
    families.check_prompt(name, prompt)
    with pytest.raises(PromptError, match="does not know 'bagel'") as refused:
        families.check_prompt(name, "a bagel")
    assert "\n" not in str(refused.value)

    prior = load_sampler(weights)
    seen = views_all_round(2)
    images = sample_images([prompt] * 2, steps=2, prior=prior, views=seen)
    assert images.shape == (2, 3, 128, 128)
    _vae, tokenizer, model = load_networks(weights)
    assert tokenizer.model_max_length == RICH.text_length
    with torch.no_grad():
        told = model.encode(token_numbers(tokenizer, [prompt, text]))
    torch.testing.assert_close(prior.encode_text([prompt, text]), told)
    assert told.shape[1] == PLACES

    more = replace(recipe, vae=Length(steps=1), diffusion=Length(steps=4))
    card = read_card(main(run, 1, True, _silent, more, world="rich", processes=2))
    assert (card["training"]["diffusion"]["step"], card["processes"]) == (4, 2)


def test_several_processes_are_for_a_cpu(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--processes 2 shares out a CPU; leave it out with --device cuda"):
        main(tmp_path / "run", device=torch.device("cuda"), processes=2)
    assert not (tmp_path / "run").exists()


def test_a_sample_says_what_its_picture_shows(tmp_path: Path, tokenizers: dict[str, CLIPTokenizer]) -> None:
    trace_blocks(FEW, tmp_path, 1, 8, _silent, size=16)
    views, tokenizer = open_views(FEW, tmp_path), tokenizers["rich"]
    sample = draw_sample(Lessons(RICH, views, tokenizer, new_vae().eval()), 8, 1, 2)
    pictures = views.draw(8, step_generator(1, 2))
    assert sample.caption.shape == (8, RICH.text_length)
    for subject, caption, (first, second) in zip(
        pictures.subjects, sample.caption, sample.view_captions, strict=True
    ):
        for text in (tokenizer.decode(x, skip_special_tokens=True) for x in (caption, first, second)):
            assert check_prompt(text.replace("3 d", "3d")) == subject, text


def test_a_vae_that_goes_on_sees_whole_pictures_and_keeps_the_scale_of_its_latents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace_blocks(FEW, tmp_path / "data", 1, 8, _silent, size=16)
    views = open_views(FEW, tmp_path / "data")
    torch.manual_seed(6)
    begun = new_vae()
    begun.register_to_config(scaling_factor=0.7)
    images = views.draw(4, step_generator(0, 3)).images * 2 - 1
    crops: list[int | None] = []
    drawn = RichViews.draw

    def noted(
        own: RichViews, n: int, generator: torch.Generator, crop: int | None = None, *of: torch.device
    ) -> Pictures:
        crops.append(crop)
        return drawn(own, n, generator, crop, *of)

    monkeypatch.setattr(RichViews, "draw", noted)
    on, fresh = (
        train_vae(views, tmp_path / name, 0, Length(steps=1), _silent, start=start)
        for name, start in (("on", begun), ("fresh", None))
    )
    assert crops == [None, None, 64, None]  # of the step and of the measurement after it
    assert (on.config.scaling_factor, fresh.config.scaling_factor) == (0.7, 1.0)
    with torch.no_grad():
        before, after = (vae.eval().encode(images).latent_dist.mean for vae in (begun, on))
    change = float((after - before).abs().max())
    assert 0 < change < 0.1 * float(before.abs().max())
