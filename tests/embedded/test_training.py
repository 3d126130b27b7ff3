"""The prior's training machinery: exact resume, schedule, tokenizer, conditioning, tiny end-to-end step."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer

from sctd.embedded.captions import TEXT_LENGTH, every_caption, write_tokenizer
from sctd.embedded.diffusion import (
    Latents,
    TextAndUNet,
    captions_of,
    encode_latents,
    load_networks,
    train_diffusion,
)
from sctd.embedded.pictures import random_views
from sctd.embedded.recogniser import Recogniser, labelled_pictures, recognise
from sctd.embedded.sample import sample_images
from sctd.embedded.training import Run, adamw, arithmetic, learning_rate, mixed_precision, step_generator
from sctd.embedded.vae import new_vae, train_vae
from sctd.embedded.weights import save_weights
from sctd.embedded.world import VIEW_PHRASES, check_prompt


def _silent(line: str) -> None:
    del line


class _Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 4)


def _tiny_run(folder: Path) -> tuple[Run, _Tiny]:
    model = _Tiny()
    return Run("tiny", folder, model, adamw(model.parameters(), 1e-2)), model


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
    whole.train(lambda step: _loss(model, step), 30, 1e-2, _silent)

    first, model = _tiny_run(tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        first.train(lambda step: _stop_at(17, step, first) or _loss(model, step), 30, 1e-2, _silent)
    second, model = _tiny_run(tmp_path / "cut")
    assert second.resume()
    assert second.step == 17
    second.train(lambda step: _loss(model, step), 30, 1e-2, _silent)

    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[key])
        assert torch.equal(whole.ema[key], second.ema[key])


def _stop_at(stop: int, step: int, run: Run) -> None:
    if step == stop:
        run.save()
        raise KeyboardInterrupt


def test_learning_rate_warms_up_stays_and_falls() -> None:
    rates = [learning_rate(step, 1000, 1.0, warmup=100, decay=0.3) for step in range(1001)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[99:700] == pytest.approx([1.0] * 601)
    assert rates[850] == pytest.approx(0.5, abs=0.01)
    assert rates[1000] == pytest.approx(0.0, abs=1e-6)
    assert all(a >= b for a, b in itertools.pairwise(rates[700:]))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    loaded: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    return loaded


def test_every_word_is_one_token_and_every_caption_fits(tokenizer: CLIPTokenizer) -> None:
    for caption in list(every_caption())[::7]:
        pieces = tokenizer.tokenize(caption)
        assert all(piece.endswith("</w>") for piece in pieces), (caption, pieces)
        assert len(pieces) + 2 <= TEXT_LENGTH, caption
        assert tokenizer.decode(tokenizer(caption).input_ids, skip_special_tokens=True).split() == [
            piece.removesuffix("</w>") for piece in pieces
        ]


def _latents() -> Latents:
    return encode_latents(new_vae().eval(), random_views(4, 2), 2, 0, _silent)


def test_captions_say_what_the_picture_shows_and_blend_neighbouring_views() -> None:
    latents = _latents()
    index = torch.arange(len(latents))
    blended = 0
    for attempt in range(5):
        first, second, weight = captions_of(latents, index, random.Random(attempt))
        for i, (a, b, w) in enumerate(zip(first, second, weight.tolist(), strict=True)):
            assert 0.5 - 1e-6 <= w <= 1
            if not a:
                assert b == ""
                continue
            subject = check_prompt(a)
            assert subject == check_prompt(b)
            if a != b and w < 1:
                blended += 1
                views = {text.rsplit(", ", 1)[1] for text in (a, b)}
                assert views <= set(VIEW_PHRASES)
                assert "overhead view" not in views
                assert views != {"front view", "back view"}
                assert latents.elevation[i] < 1.05
    assert blended > 100


def test_a_step_of_each_training_changes_every_network(tmp_path: Path, tokenizer: CLIPTokenizer) -> None:
    views = random_views(4, 1)
    torch.manual_seed(0)
    before = new_vae()
    vae = train_vae(views, tmp_path, 0, 2, _silent)
    assert vae.config.scaling_factor > 0
    assert any(not torch.equal(a, b) for a, b in zip(before.parameters(), vae.parameters(), strict=True))
    latents = encode_latents(vae, views, 2, 0, _silent)
    assert latents.z0.shape == (len(views) * 2, 4, 16, 16)
    model = TextAndUNet(tokenizer)
    untrained = {name: value.clone() for name, value in model.state_dict().items()}
    train_diffusion(model, latents, tokenizer, tmp_path, 0, 2, _silent)
    for ending in ("unet.conv_in.weight", "embeddings.token_embedding.weight"):
        name = next(name for name in untrained if name.endswith(ending))
        assert not torch.equal(untrained[name], model.state_dict()[name]), name

    save_weights(vae, model, tokenizer, tmp_path / "weights")
    _vae, _tokenizer, again = load_networks(tmp_path / "weights")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(
            again.state_dict()[name], value.half().float() if value.is_floating_point() else value
        )
    images = sample_images(["a red car"] * 2, steps=2, folder=tmp_path / "weights")
    assert images.shape == (2, 3, 64, 64)
    assert 0 <= float(images.min()) <= float(images.max()) <= 1


def test_the_recogniser_reads_any_size() -> None:
    images, labels = labelled_pictures(random_views(8, 1), 6, step_generator(0, 0))
    torch.manual_seed(0)
    verdicts = recognise(torch.nn.functional.interpolate(images, (128, 128)), Recogniser().eval())
    assert len(verdicts) == len(labels["kind"]) == 6
