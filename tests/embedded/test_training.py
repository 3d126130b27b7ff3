"""The prior's training machinery: exact resume, schedule, tokenizer, conditioning, tiny end-to-end step."""

from __future__ import annotations

import functools
import itertools
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import WIDTH, write_folder
from torch import Tensor, nn
from toy_world import KINDS, WORLD, Subject, maps_of, toy_views
from transformers import CLIPTokenizer

from sctd.embedded.captions import write_tokenizer
from sctd.embedded.data import open_views, trace_blocks
from sctd.embedded.diffusion import Batches, even_timesteps, save_weights, snr_weight, train_diffusion
from sctd.embedded.latents import Lessons, Pool, Sample, draw_sample, token_numbers, view_captions
from sctd.embedded.networks import TextAndUNet, load_networks
from sctd.embedded.optimizers import Muon, adamw, muon_and_adamw, orthogonalised
from sctd.embedded.poses import training_poses
from sctd.embedded.recogniser import Recogniser, recognise
from sctd.embedded.sample import load_sampler, sample_grid, sample_images, views_all_round
from sctd.embedded.training import (
    Length,
    Run,
    arithmetic,
    mixed_precision,
    power_average,
    rate_factor,
    step_generator,
)
from sctd.embedded.vae import (
    CHANNELS,
    SMALL_SHARE,
    level_channels,
    new_vae,
    reconstruction_loss,
    train_vae,
)
from sctd.embedded.words import VIEW_PHRASES
from sctd.embedded.worlds.rich.tracing import RichViews
from sctd.errors import InputError
from sctd.prior.views import FEATURES
from sctd.text import blend_weights

TRACING, BLOCK = WORLD.tracing, WORLD.tracing.rows


def _silent(line: str) -> None:
    del line


class _Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 4)


def _tiny_run(folder: Path) -> tuple[Run, _Tiny]:
    model = _Tiny()
    optimizers = [Muon([model.layer.weight], 1e-2), adamw([model.layer.bias], 1e-2)]
    return Run("tiny", folder, model, optimizers, power_average(0.1)), model


def _loss(model: _Tiny, step: int) -> Tensor:
    x = torch.randn(8, 4, generator=step_generator(3, step))
    loss: Tensor = (model.layer(x) - x.flip(1)).square().mean()
    return loss


def test_mixed_precision_is_for_products_where_the_processor_has_them() -> None:
    x = torch.randn(2, 4, 8, 8, generator=step_generator(1, 0))
    fast = torch.bfloat16 if arithmetic() == "bfloat16" else torch.float32
    with mixed_precision():
        product = nn.functional.linear(x, x[0, 0])
        attended = nn.functional.scaled_dot_product_attention(product, product, product, is_causal=True)
    assert product.dtype == fast
    assert attended.dtype == torch.float32
    assert nn.functional.linear(x, x[0, 0]).dtype == torch.float32  # and nothing is left behind


def test_a_resumed_run_equals_an_undisturbed_one(tmp_path: Path) -> None:
    whole, model = _tiny_run(tmp_path / "whole")
    whole.train(lambda step: _loss(model, step), Length(steps=30), _silent)

    first, model = _tiny_run(tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        first.train(lambda step: _stop_at(17, step, first) or _loss(model, step), Length(steps=30), _silent)
    second, model = _tiny_run(tmp_path / "cut")
    assert second.resume()
    assert second.step == 17
    second.train(lambda step: _loss(model, step), Length(steps=30), _silent)

    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[key])
        assert torch.equal(whole.ema[key], second.ema[key])


def _stop_at(stop: int, step: int, run: Run) -> None:
    if step == stop:
        run.save()
        raise KeyboardInterrupt


def test_learning_rate_warms_up_stays_and_falls() -> None:
    rates = [rate_factor(step, step / 1000, warmup=100, decay=0.3) for step in range(1001)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[99:700] == pytest.approx([1.0] * 601)
    assert rates[850] == pytest.approx(0.5, abs=0.01)
    assert rates[1000] == pytest.approx(0.0, abs=1e-6)
    assert all(a >= b for a, b in itertools.pairwise(rates[700:]))


def test_a_length_is_steps_or_minutes() -> None:
    assert Length(steps=200).done(50, 1e9) == 0.25
    assert Length(minutes=10).done(10**9, 150.0) == 0.25
    assert Length(steps=200).done(500, 0.0) == 1


@pytest.mark.parametrize("width", [0.05, 0.15])
def test_a_power_averages_window_is_its_part_of_the_run(width: float) -> None:
    """The weights that 2000 steps get in the average, from its own recursion: their spread is the width."""
    keep, n = power_average(width), 2000
    weights = np.zeros(n)
    for step in range(1, n + 1):
        weights *= keep(step)
        weights[step - 1] = 1 - keep(step)
    assert weights.sum() == pytest.approx(1)
    at = np.arange(1, n + 1) / n
    spread = math.sqrt((weights * at**2).sum() - (weights * at).sum() ** 2)
    assert spread == pytest.approx(width, rel=0.02)


def test_orthogonalised_keeps_the_directions_and_levels_the_lengths() -> None:
    matrices = torch.randn(2, 6, 20, generator=step_generator(1, 1))
    made = orthogonalised(matrices)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    inside = u.transpose(1, 2) @ made @ v.transpose(1, 2)
    values = torch.diagonal(inside, dim1=1, dim2=2)
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3
    assert float((inside - torch.diag_embed(values)).abs().max()) < 0.1  # bfloat16
    torch.testing.assert_close(orthogonalised(matrices.transpose(1, 2)), made.transpose(1, 2))


def test_every_weight_has_one_optimiser() -> None:
    model = nn.Sequential(nn.Embedding(5, 8), nn.Conv2d(8, 4, 3), nn.GroupNorm(2, 4), nn.Linear(4, 4))
    muon, rest = muon_and_adamw(model, 1e-3, not_matrices=("0.",))
    mine = [p for group in muon.param_groups for p in group["params"]]
    others = [p for group in rest.param_groups for p in group["params"]]
    assert {id(p) for p in mine} == {id(model[1].weight), id(model[3].weight)}
    assert len(mine) + len(others) == len(list(model.parameters()))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, WORLD.every_caption(), WORLD.text_length)
    loaded: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    return loaded


def test_every_word_is_one_token_and_every_caption_fits(tokenizer: CLIPTokenizer) -> None:
    for caption in list(WORLD.every_caption())[::7]:
        pieces = tokenizer.tokenize(caption)
        assert all(piece.endswith("</w>") for piece in pieces), (caption, pieces)
        assert len(pieces) + 2 <= WORLD.text_length, caption
        assert tokenizer.decode(tokenizer(caption).input_ids, skip_special_tokens=True).split() == [
            piece.removesuffix("</w>") for piece in pieces
        ]


def test_captions_say_what_the_picture_shows_and_blend_neighbouring_views() -> None:
    rng, blended = random.Random(0), 0
    poses = training_poses(3, 0, 200)
    weights = blend_weights(poses.azimuth, poses.elevation)
    subject = Subject("box", "red")
    for i in range(200):
        azimuth, elevation = float(poses.azimuth[i]), float(poses.elevation[i])
        a, b, w = view_captions(WORLD, subject, azimuth, elevation, weights[i], rng)
        assert 0.5 - 1e-6 <= w <= 1
        assert WORLD.check_prompt(a) == WORLD.check_prompt(b) == subject
        if a != b and w < 1:
            blended += 1
            views = {text.rsplit(", ", 1)[1] for text in (a, b)}
            assert views <= set(VIEW_PHRASES)
            assert "overhead view" not in views
            assert views != {"front view", "back view"}
            assert elevation < 1.05
    assert blended > 50


def test_traced_blocks_are_found_again_and_more_can_be_added(tmp_path: Path) -> None:
    trace_blocks(TRACING, tmp_path, 1, 5, _silent, size=8)
    first = open_views(TRACING, tmp_path)
    trace_blocks(TRACING, tmp_path, 2, 5, _silent, size=8)
    both = open_views(TRACING, tmp_path)
    assert isinstance(first, RichViews)
    assert isinstance(both, RichViews)
    assert (len(first), len(both)) == (BLOCK, 2 * BLOCK)
    index = torch.tensor([2 * BLOCK - 1, 3, BLOCK])
    assert torch.equal(both.maps[index[1:2]], first.maps[torch.tensor([3])])
    for i in index.tolist():  # each view is of its subject, from its camera
        at = torch.tensor([i])
        seen = maps_of(both.subjects[i], both.poses[at], 8) * 255  # type: ignore[arg-type]
        torch.testing.assert_close(both.maps[at].float(), seen, atol=0.51, rtol=0)
    with pytest.raises(InputError, match="another seed, size or world"):
        trace_blocks(TRACING, tmp_path, 1, 6, _silent, size=8)


def test_a_sample_says_all_that_its_picture_shows(tmp_path: Path, tokenizer: CLIPTokenizer) -> None:
    vae, views = new_vae().eval(), toy_views(tmp_path, 64)
    vae.register_to_config(scaling_factor=2.0)
    lessons = Lessons(WORLD, views, tokenizer, vae)
    sample = draw_sample(lessons, 6, 1, 2)
    assert sample.z0.shape == (6, CHANNELS, 8, 8)
    assert sample.features.shape == (6, FEATURES)
    assert torch.equal(sample.features[:, -1], torch.ones(6))
    again = draw_sample(lessons, 6, 1, 2)
    assert all(torch.equal(a, b) for a, b in zip(vars(sample).values(), vars(again).values(), strict=True))
    for caption, (first, second) in zip(sample.caption, sample.view_captions, strict=True):
        texts = [tokenizer.decode(x, skip_special_tokens=True) for x in (caption, first, second)]
        said = [WORLD.check_prompt(text) for text in texts]
        assert said[0] == said[1] == said[2]


def test_levelled_channels_stand_out_by_the_precision_asked_of_them() -> None:
    torch.manual_seed(2)
    vae, images = new_vae().eval(), torch.rand(4, 3, 32, 32, generator=step_generator(0, 5))
    with torch.no_grad():
        before = vae.encode(images).latent_dist
        latents = before.mean * 3 + torch.arange(CHANNELS)[:, None, None]  # as after a training
        vae.quant_conv.weight[:CHANNELS] *= 3
        vae.quant_conv.bias[:CHANNELS] = 3 * vae.quant_conv.bias[:CHANNELS] + torch.arange(CHANNELS)
        picture = vae.decode(vae.encode(images).latent_dist.mean).sample
        level_channels(vae, latents, before.std)
        after = vae.encode(images).latent_dist
        torch.testing.assert_close(vae.decode(after.mean).sample, picture, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.mean.mean(dim=(0, 2, 3)), torch.zeros(CHANNELS), atol=1e-4, rtol=0)
    old, new = latents.std(dim=(0, 2, 3)), after.mean.std(dim=(0, 2, 3))
    assert float(new.square().mean()) == pytest.approx(1, abs=1e-3)
    asked = (old / before.std.mean(dim=(0, 2, 3))).sqrt()
    torch.testing.assert_close(new / new[0], asked / asked[0], atol=0, rtol=1e-3)
    torch.testing.assert_close(after.std, before.std * (new / old)[:, None, None], atol=1e-5, rtol=1e-3)


def test_half_of_the_pictures_are_also_decoded_from_pooled_latents() -> None:
    """The loss by numpy, from the networks' own outputs."""
    torch.manual_seed(3)
    vae, images = new_vae().eval(), torch.rand(4, 3, 32, 32)
    noise = torch.randn(4, CHANNELS, 4, 4)

    def of(error: Tensor) -> float:
        e = error.numpy()
        edges = np.abs(np.diff(e, axis=3)).mean() + np.abs(np.diff(e, axis=2)).mean()
        return float(np.abs(e).mean() + (e**2).mean() + 0.4 * edges)

    def pooled(x: Tensor) -> Tensor:
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4

    with torch.no_grad():
        posterior, wanted = vae.encode(images * 2 - 1).latent_dist, images * 2 - 1
        z = posterior.mean + posterior.std * noise
        whole = of(vae.decode(z).sample - wanted)
        small = of(vae.decode(pooled(z[:2])).sample - pooled(wanted[:2]))
        faint = 1e-4 / 64 * float(posterior.kl().mean())
        loss = float(reconstruction_loss(vae, images, noise))
    assert loss == pytest.approx(whole + SMALL_SHARE * small + faint, rel=1e-4)
    assert small > 0


def test_a_pool_forgets_the_oldest() -> None:
    def numbered(first: int, n: int) -> Sample:
        z0 = torch.arange(first, first + n).half()[:, None, None, None]
        return Sample(z0, *(torch.zeros(n, 1) for _ in range(4)))

    pool = Pool(4)
    pool.add(numbered(0, 3))
    assert len(pool) == 3
    pool.add(numbered(3, 3))
    assert len(pool) == 4
    seen = pool.draw(200, step_generator(0, 0)).z0.flatten().tolist()
    assert set(seen) == {2.0, 3.0, 4.0, 5.0}


def test_weights_and_timesteps_of_the_loss() -> None:
    snr = torch.tensor([1e-4, 1.0, 4.0, 9.0, 99.0])
    expected = torch.minimum(snr + 1, torch.tensor(5.0)) / (snr + 1)
    torch.testing.assert_close(snr_weight(snr / (snr + 1)), expected)
    t = even_timesteps(10, step_generator(0, 1))
    assert (t // 100).tolist() == list(range(10))


def test_a_step_of_each_training_changes_every_network(tmp_path: Path, tokenizer: CLIPTokenizer) -> None:
    views = toy_views(tmp_path / "data", 64)
    torch.manual_seed(0)
    before = new_vae()
    vae = train_vae(views, tmp_path, 0, Length(steps=2), _silent)
    assert vae.config.scaling_factor == 1
    assert any(not torch.equal(a, b) for a, b in zip(before.parameters(), vae.parameters(), strict=True))
    kept = train_vae(views, tmp_path, 0, Length(steps=9), _silent)  # a finished one is not touched again
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), vae.parameters(), strict=True))
    model = TextAndUNet(tokenizer)
    untrained = {name: value.clone() for name, value in model.state_dict().items()}
    batches = Batches(size=4, new=2, pool=8, first=4)
    lessons = Lessons(WORLD, views, tokenizer, vae)
    train_diffusion(model, lessons, tmp_path, 0, Length(steps=2), _silent, batches=batches)
    endings = (
        "unet.conv_in.weight",
        "embeddings.token_embedding.weight",
        "class_embedding.linear_1.weight",
        "unet.mid_block.resnets.0.conv1.weight",
    )
    for ending in endings:
        name = next(name for name in untrained if name.endswith(ending))
        assert not torch.equal(untrained[name], model.state_dict()[name]), name

    written = [path.read_text() for path in (tmp_path / "weights").rglob("*.json")]
    assert not any(str(tmp_path) in text for text in written)  # nothing of the trainer's disk
    _vae, _tokenizer, again = load_networks(tmp_path / "weights")  # kept at the checkpoint
    for name, value in model.state_dict().items():
        torch.testing.assert_close(
            again.state_dict()[name], value.half().float() if value.is_floating_point() else value
        )
    prior = load_sampler(tmp_path / "weights")
    assert prior.traits.reads_cameras
    seen = views_all_round(2)
    images = sample_images(["a red ball"] * 2, steps=2, prior=prior, views=seen)
    assert images.shape == (2, 3, 128, 128)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1


def test_the_prior_gives_what_the_trained_networks_give(tmp_path: Path, tokenizer: CLIPTokenizer) -> None:
    """A camera is told under a text as in training, and not told as in training."""
    torch.manual_seed(1)
    model = TextAndUNet(tokenizer).eval()
    save_weights(new_vae(), model, tokenizer, tmp_path / "weights")
    _vae, _tokenizer, model = load_networks(tmp_path / "weights")
    prior = load_sampler(tmp_path / "weights")
    z = torch.randn(2, CHANNELS, 16, 16, generator=step_generator(0, 2))
    text = prior.encode_text(["a red ball", "a blue box"])
    told = prior.encode_cameras(views_all_round(2))
    assert told is not None
    with torch.no_grad():
        embeddings = model.encode(token_numbers(tokenizer, ["a red ball", "a blue box"]))
        for cameras in (told, None):
            features = torch.zeros(2, FEATURES) if cameras is None else cameras
            want = model(z, torch.tensor([300, 300]), embeddings, features)
            torch.testing.assert_close(prior.predict(z, 300, text, cameras), want, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(prior.predict(z, 300, text, told), prior.predict(z, 300, text))


@pytest.mark.parametrize("labels", [None, FEATURES + WIDTH])
def test_samples_all_round_need_a_prior_that_reads_cameras(tmp_path: Path, labels: int | None) -> None:
    folder = write_folder(tmp_path / "prior", "v_prediction", labels=labels)
    draw = functools.partial(sample_grid, "red", 2, 0, 2, 2.0, tmp_path / "grid.png", folder=folder)
    if labels is None:
        with pytest.raises(InputError, match="--views"):
            draw(views=3)
        draw()
    else:
        draw(views=3)
    with Image.open(tmp_path / "grid.png") as grid:  # 16 pixels a picture, twice as large
        assert grid.size == ((32, 64) if labels is None else (96, 64))


def test_the_recogniser_reads_any_size() -> None:
    torch.manual_seed(0)
    verdicts = recognise(torch.rand(6, 3, 96, 96), Recogniser(WORLD.questions).eval())
    assert len(verdicts) == 6
    assert {verdict.kind for verdict in verdicts} <= set(KINDS)
