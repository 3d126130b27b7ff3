"""Loading Stable-Diffusion-style folders, what the loaded prior computes, and how folders are broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import views_from
from torch import Tensor

from sctd.config.sctd import SctdSettings
from sctd.config.views import ViewSettings
from sctd.errors import InputError, PromptError
from sctd.methods.sctd import Sctd
from sctd.prior import load_prior
from sctd.prior.base import Prior
from sctd.prior.load import sources
from sctd.schedule import Schedule
from sctd.solver import noise_in
from sctd.text import ViewTexts


@pytest.fixture(scope="module")
def prior(tiny_folder: Path) -> Prior:
    return load_prior(str(tiny_folder))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_of(prior: Prior, z: Tensor, t: int, text: Tensor) -> Tensor:
    out = prior.predict(z, t, text)
    return noise_in(Schedule(prior.traits.alphas_cumprod), z, out, t, prior.traits.prediction)


def set_prediction(folder: Path, prediction_type: str) -> Path:
    """Says in the scheduler's config that the same network predicts something else."""
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": prediction_type}))
    return folder


def test_facts(prior):
    assert prior.traits.image_size == 16
    assert prior.traits.latent_shape == (4, 8, 8)
    assert (prior.traits.dtype, prior.traits.device.type) == (torch.float32, "cpu")
    assert prior.traits.alphas_cumprod.shape == (1000,)
    assert prior.traits.alphas_cumprod.dtype == torch.float64


def test_half_precision_files_run_in_single_precision_and_are_frozen(prior):
    for module in (prior._unet, prior._vae.module, prior._text_encoder):
        assert not module.training
        assert all(p.dtype == torch.float32 and not p.requires_grad for p in module.parameters())


def test_text_embeddings_differ_and_do_not_depend_on_the_batch(prior):
    both = prior.encode_text(["a red duck", ""])
    assert both.shape == (2, 24, 16)
    assert not both.requires_grad
    assert not torch.allclose(both[0], both[1])
    torch.testing.assert_close(prior.encode_text(["a red duck"])[0], both[0])


@pytest.mark.parametrize("t", [0, 20, 500, 999])
def test_prediction_types_are_converted_to_noise(tiny_folder, tiny_copy, prior, t):
    """The same network output read as eps, as v = alpha eps - sigma z0 and as z0."""
    z, text = torch.randn(2, 4, 8, 8), prior.encode_text(["a duck", "a mug"])
    out = noise_of(prior, z, t, text).double()
    abar = prior.traits.alphas_cumprod[t]
    alpha, sigma = abar.sqrt(), (1 - abar).sqrt()

    eps_v = noise_of(load_prior(str(set_prediction(tiny_copy, "v_prediction"))), z, t, text).double()
    z0 = (z.double() - sigma * eps_v) / alpha
    torch.testing.assert_close(alpha * eps_v - sigma * z0, out, rtol=1e-3, atol=1e-4)

    eps_x = noise_of(load_prior(str(set_prediction(tiny_copy, "sample"))), z, t, text).double()
    torch.testing.assert_close(alpha * out + sigma * eps_x, z.double(), rtol=1e-3, atol=1e-4)


def test_prediction_depends_on_text_and_time_and_has_no_gradient(prior):
    z = torch.randn(1, 4, 8, 8, requires_grad=True)
    text = prior.encode_text(["a red duck", ""])
    a = prior.predict(z, 500, text[:1])
    assert a.is_contiguous()
    assert not a.requires_grad
    assert not torch.equal(a, prior.predict(z, 500, text[1:]))
    assert not torch.equal(a, prior.predict(z, 100, text[:1]))


@pytest.mark.parametrize("name", ["tiny", "analytic"])
def test_each_latent_may_have_its_timestep(prior, name):
    chosen = prior if name == "tiny" else load_prior(name)
    predict = chosen.predict
    z, text = torch.randn(3, *chosen.traits.latent_shape), chosen.encode_text(["a red ball", "", "a red box"])
    t = torch.tensor([20, 500, 979])
    each = torch.cat([predict(z[i : i + 1], int(t[i]), text[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(predict(z, t, text), each)
    assert not torch.allclose(predict(z, t.flip(0), text), each, rtol=0.01)


def test_encoding_lets_the_gradient_through_and_scales(prior):
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    z = prior.encode_images(images, prior.posterior_noise(images, generator()))
    assert z.shape == (2, 4, 8, 8)
    (gradient,) = torch.autograd.grad(z.square().sum(), images)
    assert (gradient.flatten(1).norm(dim=1) > 0).all()

    raw = prior._vae.module.encode(images * 2 - 1).latent_dist
    torch.testing.assert_close(prior.encode_images(images), raw.mean * 0.5)
    noise = torch.randn(z.shape, generator=generator())
    torch.testing.assert_close(z, (raw.mean + raw.std * noise) * 0.5)


def test_decoding_undoes_the_scale_and_stays_in_range(prior):
    z = torch.randn(2, 4, 8, 8) * 3
    images = prior.decode(z).clamp(0, 1)
    assert images.shape == (2, 3, 16, 16)
    assert images.min() >= 0
    assert images.max() <= 1
    torch.testing.assert_close(images, (prior._vae.module.decode(z / 0.5).sample / 2 + 0.5).clamp(0, 1))


def test_decoding_with_gradient_is_the_same_without_the_clamp(prior):
    z = (torch.randn(2, 4, 8, 8) * 3).requires_grad_()
    images = prior.decode(z)
    torch.testing.assert_close(images.detach().clamp(0, 1), prior.decode(z).clamp(0, 1))
    (gradient,) = torch.autograd.grad(images.square().sum(), z)
    assert (gradient.flatten(1).norm(dim=1) > 0).all()
    assert not any(p.requires_grad for p in prior._vae.module.parameters())


def test_prompt_too_long_for_the_encoder_is_refused(prior):
    prior.check_prompt("short")
    with pytest.raises(PromptError, match=r"tokens, prior .* reads 24; shorten it"):
        prior.check_prompt("a prompt that goes on and on and on")


def test_a_text_too_long_with_its_view_phrase_is_refused(prior):
    """Whatever the phrases are: the one that is too long would be cut, and the view with it."""
    views = {"left": "l", "right": "r", "back": "b", "overhead": "seen from far above a"}
    # 21 letters, the comma, start and end
    ViewTexts.encode(prior, "duck", "", ViewSettings(front="f", **views))
    views["overhead"] += "l"
    with pytest.raises(PromptError, match=r"has 25 tokens, prior .* reads 24; shorten it"):
        ViewTexts.encode(prior, "duck", "", ViewSettings(front="f", **views))
    bare = "a" * 22
    ViewTexts.encode(prior, bare, "", ViewSettings(enabled=False))  # as long as a text may be
    with pytest.raises(PromptError, match=r"has 25 tokens"):
        ViewTexts.encode(prior, bare + "a", "", ViewSettings(enabled=False))


def test_a_negative_prompt_too_long_is_refused(prior):
    """Nothing of a text is cut off silently: what stands last in it counts as much as what stands first."""
    views = ViewSettings(enabled=False)
    longest = "b" * 22  # letters, and start and end
    ViewTexts.encode(prior, "duck", longest, views)
    with pytest.raises(
        PromptError, match=r"'b{23}\.\.\.' \(negative_prompt, .* has 25 tokens, .* reads 24; shorten it"
    ):
        ViewTexts.encode(prior, "duck", longest + "b", views)


def test_one_sctd_iteration_runs_on_it(prior):
    texts = ViewTexts.encode(prior, "duck", "", ViewSettings(front="f", left="l", right="r", back="b"))
    method = Sctd(prior, texts, SctdSettings(), iterations=10, seed=0)
    z0 = prior.encode_images(torch.rand(2, 3, 16, 16, requires_grad=True))
    guidance = method(z0, views_from(0.0, 2.0), 0, generator())
    assert guidance.offender is None
    assert guidance.grad.norm() > 0
    z0.backward(guidance.grad)


# -- what can be wrong --


def expect_refusal(spec: Path | str, *words: str) -> str:
    with pytest.raises(InputError) as caught:
        load_prior(str(spec))
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(spec), *words):
        assert word in message
    return message


@pytest.mark.parametrize("spec", ["nowhere", "./nowhere", "a/b/c", "~/nowhere/model", ""])
def test_unknown_names(spec):
    expect_refusal(spec, "no folder and no hub id", "'embedded'")


def test_files_that_are_not_safetensors(tmp_path):
    expect_refusal(tmp_path / "model.ckpt", "can run code", ".safetensors")
    expect_refusal(tmp_path / "model.safetensors", "no such file")


def test_damaged_single_file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not a model")
    expect_refusal(path, "damaged")


def test_folder_without_index(tmp_path):
    expect_refusal(tmp_path, "no model_index.json")


def test_damaged_index(tiny_copy):
    (tiny_copy / "model_index.json").write_text("{")
    expect_refusal(tiny_copy, "model_index.json cannot be read")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_missing_part(tiny_copy, part):
    (tiny_copy / part).rename(tiny_copy / "elsewhere")
    expect_refusal(tiny_copy, f"lacks {part}")


def test_sdxl_layout(tiny_copy):
    index = tiny_copy / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "text_encoder_2": ["a", "b"]}))
    expect_refusal(tiny_copy, "has text_encoder_2", "1.x or 2.x")


def weights_of(folder: Path, part: str) -> Path:
    (path,) = (folder / part).glob("*.safetensors")
    return path


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "incomplete", "nan", "reshaped"])
def test_damaged_weights(tiny_copy, part, damage):
    path = weights_of(tiny_copy, part)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "gone":
        path.unlink()
    else:
        tensors = load_file(path)
        key = next(k for k in sorted(tensors) if k.endswith("weight"))
        if damage == "incomplete":
            del tensors[key]
        elif damage == "nan":
            tensors[key].view(-1)[0] = float("nan")
        else:
            tensors[key] = torch.zeros(3, 5)
        save_file(tensors, path, metadata={"format": "pt"})
    expect_refusal(tiny_copy, f"its {part} is missing or damaged")


@pytest.mark.parametrize("name", ["vocab.json", "tokenizer_config.json", "merges.txt"])
def test_damaged_tokenizer(tiny_copy, name):
    (tiny_copy / "tokenizer" / name).unlink()
    expect_refusal(tiny_copy, "its tokenizer is missing or damaged")


def test_damaged_scheduler(tiny_copy):
    (tiny_copy / "scheduler" / "scheduler_config.json").write_text("[1, 2")
    expect_refusal(tiny_copy, "its scheduler is missing or damaged")


def test_unknown_prediction_type(tiny_copy):
    expect_refusal(set_prediction(tiny_copy, "flow"), "'flow'", "v_prediction")


def test_parts_of_different_models(tmp_path):
    from tiny import write_folder

    expect_refusal(write_folder(tmp_path / "odd", latent_channels=3), "the VAE has 3")


def test_unknown_device(tiny_folder):
    with pytest.raises(InputError, match="device 'tpu9' is unknown"):
        load_prior(str(tiny_folder), "tpu9")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none(tiny_folder):
    with pytest.raises(InputError, match="finds no CUDA device"):
        load_prior(str(tiny_folder), "cuda")


def test_fp16_variant_files_are_found(tiny_copy, prior):
    for part in ("unet", "vae", "text_encoder"):
        path = weights_of(tiny_copy, part)
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    z, text = torch.randn(1, 4, 8, 8), prior.encode_text(["a duck"])
    again = load_prior(str(tiny_copy))
    torch.testing.assert_close(again.predict(z, 300, text), prior.predict(z, 300, text))


# -- the embedded prior --


def test_embedded_prior_without_its_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "EMBEDDED_FOLDER", tmp_path / "gone")
    with pytest.raises(InputError, match=r"weights are missing.*reinstall sctd or give --prior FOLDER"):
        load_prior("embedded")


def test_embedded_prior_refuses_what_lies_outside_its_world(monkeypatch, tiny_folder):
    monkeypatch.setattr(sources, "EMBEDDED_FOLDER", tiny_folder)
    prior = load_prior("embedded")
    with pytest.raises(PromptError, match="bagel"):
        prior.check_prompt("a bagel with lox")


def test_loading_prints_nothing(tiny_folder, capfd):
    load_prior(str(tiny_folder))
    assert capfd.readouterr() == ("", "")
