"""LoRAs, LoCons and DoRAs: what each layer becomes, to the number, and which files are refused."""

from __future__ import annotations

import copy
import importlib.util
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import lora_files as files
import numpy as np
import pytest
import torch
from lora_files import Networks, made, shape_of, weights
from torch import Tensor

from sctd.embedded.weights import pipeline_of
from sctd.errors import InputError
from sctd.prior.load import lora
from sctd.prior.load.parts import quiet

# float32: a change sums at most 9 products, a norm at most 144 squares, each rounded to 2^-24 of
# its size: below 1e-5 of a weight
CLOSE = {"rtol": 1e-5, "atol": 1e-6}

Changes = dict[str, Tensor]


def merged(networks: Networks, file: str, weight: float = 1.0) -> Changes:
    """The weights that a file changed, whole; the test fails where anything else than a weight did."""
    before = {k: v.clone() for k, v in weights(networks).items()}
    lora.merge(file, weight, networks, "tiny")
    after = weights(networks)
    assert after.keys() == before.keys()
    found = {k: v for k, v in after.items() if not torch.equal(v, before[k])}
    assert all(k.endswith(".weight") for k in found)
    return {k.removesuffix(".weight"): v for k, v in found.items()}


def expect(base: Networks, got: Changes, m: dict[str, files.Matrices], scale: Callable[[str], float]) -> None:
    """Each layer is W + scale B A, and no other layer changed."""
    assert got.keys() == m.keys()
    for layer, given in m.items():
        w = weights(base)[f"{layer}.weight"].double().numpy()
        wanted = w + scale(layer) * files.change(given, w.shape)
        np.testing.assert_allclose(got[layer].double().numpy(), wanted, **CLOSE)


# -- what a layer becomes --


@pytest.mark.parametrize("naming", files.NAMINGS)
@pytest.mark.parametrize("weight", [1.0, 0.5, -2.0])
def test_every_naming(base: Networks, networks: Networks, tmp_path: Path, naming: str, weight: float) -> None:
    linear = tuple(layer for layer in files.ALL if layer != files.CONVOLUTION)
    layers = tuple(x for x in linear if x in files.UNET) if "without" in naming else linear
    m = made(base, layers, (2, 3))
    tensors = {k: v for layer, given in m.items() for k, v in files.NAMINGS[naming](layer, given).items()}
    got = merged(networks, files.write(tmp_path / "a.safetensors", tensors), weight)
    expect(base, got, m, lambda layer: weight)


def test_alpha_and_rank_of_each_layer(base: Networks, networks: Networks, tmp_path: Path) -> None:
    """As in a resized LoRA; one alpha is an integer tensor, one is missing and means its rank."""
    m = made(base, files.ALL, (4, 8, 2, 1))
    alphas: dict[str, Tensor | None] = {
        layer: torch.tensor(0.5 * (i + 1)) for i, layer in enumerate(files.ALL)
    }
    alphas[files.FEED], alphas[files.KEY] = None, torch.tensor([3])
    tensors: files.Tensors = {}
    for layer, given in m.items():
        tensors |= files.kohya(layer, given)
        alpha = alphas[layer]
        if alpha is not None:
            tensors[f"{files.flat(layer)}.alpha"] = alpha

    def scale(layer: str) -> float:
        alpha, rank = alphas[layer], len(m[layer]["down"])
        return 0.5 * (1 if alpha is None else float(alpha) / rank)

    got = merged(networks, files.write(tmp_path / "a.safetensors", tensors), 0.5)
    expect(base, got, m, scale)


@pytest.mark.parametrize("tucker", [False, True])
def test_locon(base: Networks, networks: Networks, tmp_path: Path, tucker: bool) -> None:
    """A 3 x 3 convolution, its kernel in the first matrix or between two 1 x 1 ones; a rank of its own."""
    shape = shape_of(base, files.CONVOLUTION)
    m = {files.CONVOLUTION: files.matrices(shape, 4, 5, tucker=tucker), **made(base, (files.QUERY,), (8,))}
    tensors = {k: v for layer, given in m.items() for k, v in files.kohya(layer, given).items()}
    tensors |= {
        f"{files.flat(layer)}.alpha": torch.tensor(a) for layer, a in zip(m, (1.0, 16.0), strict=True)
    }
    got = merged(networks, files.write(tmp_path / "a.safetensors", tensors))
    expect(base, got, m, lambda layer: 1 / 4 if layer == files.CONVOLUTION else 2.0)


def test_a_linear_layers_matrices_fit_a_1_x_1_convolution(
    base: Networks, networks: Networks, tmp_path: Path
) -> None:
    """Stable Diffusion 1 projects with convolutions; some programs save matrices without the ones."""
    m = made(base, (files.PROJECTION,))
    flat = {role: matrix.flatten(1) for role, matrix in m[files.PROJECTION].items()}
    got = merged(networks, files.write(tmp_path / "a.safetensors", files.kohya(files.PROJECTION, flat)))
    expect(base, got, m, lambda layer: 1.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files(base: Networks, networks: Networks, tmp_path: Path, dtype: torch.dtype) -> None:
    m = {k: {r: x.to(dtype) for r, x in given.items()} for k, given in made(base, files.ALL).items()}
    tensors = {k: v for layer, given in m.items() for k, v in files.kohya(layer, given).items()}
    got = merged(networks, files.write(tmp_path / "a.safetensors", tensors))
    expect(base, got, m, lambda layer: 1.0)


def test_half_precision_networks_are_rounded_once(base: Networks, tmp_path: Path) -> None:
    half = {name: copy.deepcopy(network).half() for name, network in base.items()}
    m = made(base, (files.QUERY,))
    got = merged(half, files.write(tmp_path / "a.safetensors", files.kohya(files.QUERY, m[files.QUERY])))
    w = weights(base)[f"{files.QUERY}.weight"].half().double().numpy()
    wanted = w + files.change(m[files.QUERY], w.shape)
    assert got[files.QUERY].dtype == torch.float16
    np.testing.assert_allclose(got[files.QUERY].double().numpy(), wanted, rtol=2**-11 + 1e-6, atol=2**-25)


def test_two_loras_add_up(base: Networks, networks: Networks, tmp_path: Path) -> None:
    m = made(base, (files.QUERY, files.TEXT_MLP))
    tensors = {k: v for layer, given in m.items() for k, v in files.kohya(layer, given).items()}
    file = files.write(tmp_path / "a.safetensors", tensors)
    lora.merge(file, 0.25, networks, "tiny")
    lora.merge(file, 0.5, networks, "tiny")
    got = {layer: weights(networks)[f"{layer}.weight"] for layer in m}
    expect(base, got, m, lambda layer: 0.75)


def test_weight_0_changes_nothing(base: Networks, networks: Networks, tmp_path: Path) -> None:
    m = made(base, (files.QUERY,))
    file = files.write(tmp_path / "a.safetensors", files.kohya(files.QUERY, m[files.QUERY]))
    assert merged(networks, file, 0.0) == {}


@pytest.mark.parametrize("weight", [1.0, 0.5])
@pytest.mark.parametrize("axis", ["output", "input", "peft"])
@pytest.mark.parametrize("layer", [files.KEY, files.FEED, files.CONVOLUTION, files.TEXT_VALUE])
def test_dora(
    base: Networks, networks: Networks, tmp_path: Path, layer: str, axis: str, weight: float
) -> None:
    """LyCORIS has a magnitude for each output or, by default, for each input; peft for each output."""
    (m,) = made(base, (layer,), (2,)).values()
    w = weights(base)[f"{layer}.weight"].double().numpy()
    along = 1 if axis == "input" else 0
    shape = [1] * w.ndim
    shape[along] = w.shape[along]
    magnitudes = torch.rand(shape, generator=torch.Generator().manual_seed(1)) + 0.5
    if axis == "peft":
        tensors, name, key = files.diffusers(layer, m), files.dotted(layer), "lora_magnitude_vector"
        saved = magnitudes.flatten() if w.ndim == 2 else magnitudes.transpose(0, 1)
    else:
        tensors, name, key, saved = files.kohya(layer, m), files.flat(layer), "dora_scale", magnitudes
    tensors |= {f"{name}.{key}": saved, f"{name}.alpha": torch.tensor(1.0)}
    got = merged(networks, files.write(tmp_path / "a.safetensors", tensors), weight)
    v = w + weight * 0.5 * files.change(m, w.shape)
    others = tuple(i for i in range(w.ndim) if i != along)
    wanted = magnitudes.double().numpy() * v / np.sqrt((v**2).sum(axis=others, keepdims=True))
    assert got.keys() == {layer}
    np.testing.assert_allclose(got[layer].double().numpy(), wanted, **CLOSE)


@pytest.mark.parametrize("root", [False, True])
def test_peft_file_with_its_config(base: Networks, networks: Networks, tmp_path: Path, root: bool) -> None:
    layers = (files.QUERY, files.KEY, files.TEXT_VALUE)
    m = made(base, layers, (4, 9, 1))
    tensors = {k: v for layer, given in m.items() for k, v in files.peft(layer, given).items()}
    file = files.write(tmp_path / "adapter_model.safetensors", tensors)
    with pytest.raises(InputError, match=r"whose alpha stands in adapter_config\.json; put that file beside"):
        lora.merge(file, 1.0, networks, "tiny")
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 6, "alpha_pattern": {"to_k": 3}, "use_rslora": root}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    got = merged(networks, file)
    power = 0.5 if root else 1
    expect(base, got, m, lambda x: (3 if x == files.KEY else 6) / len(m[x]["down"]) ** power)


def test_config_in_the_header(base: Networks, networks: Networks, tmp_path: Path) -> None:
    """Diffusers writes peft's configs there, each network's under its name."""
    m = made(base, (files.QUERY, files.TEXT_VALUE), (4,))
    tensors = {k: v for layer, given in m.items() for k, v in files.diffusers(layer, given).items()}
    told = {"unet.r": 4, "unet.lora_alpha": 8, "text_encoder.lora_alpha": 2, "text_encoder.r": 4}
    file = files.write(tmp_path / "a.safetensors", tensors, {"lora_adapter_metadata": json.dumps(told)})
    expect(base, merged(networks, file), m, lambda x: 2.0 if x == files.QUERY else 0.5)


# -- as diffusers merges it, where it is right --


def by_diffusers(networks: Networks, file: Path) -> None:
    with quiet():
        pipeline = pipeline_of(vae=None, tokenizer=None, scheduler=None, **networks)
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name, local_files_only=True)
        pipeline.fuse_lora(lora_scale=0.7)
        pipeline.unload_lora_weights()


def one_alpha(base: Networks) -> files.Tensors:
    m = made(base, files.ALL, (4,))
    tensors = {k: v for layer, given in m.items() for k, v in files.kohya(layer, given).items()}
    return tensors | {f"{files.flat(layer)}.alpha": torch.tensor(2.0) for layer in m}


def named(naming: str) -> Callable[[Networks], files.Tensors]:
    def make(base: Networks) -> files.Tensors:
        m = made(base, (files.QUERY, files.KEY, files.OUT, files.TEXT_VALUE, files.TEXT_OUT), (4,))
        return {k: v for layer, given in m.items() for k, v in files.NAMINGS[naming](layer, given).items()}

    return make


def peft_dora(base: Networks) -> files.Tensors:
    """Of the UNet alone: diffusers loses those of a text encoder with transformers 5."""
    tensors = {k: v for k, v in named("diffusers")(base).items() if k.startswith("unet.")}
    layers = [k.removesuffix(".lora_B.weight") for k in tensors if "lora_B" in k]
    return tensors | {f"{k}.lora_magnitude_vector": torch.linspace(0.5, 1.5, 16) for k in layers}


@pytest.mark.parametrize(
    "make",
    [one_alpha, named("diffusers"), named("attention_processors"), peft_dora],
    ids=lambda f: f.__qualname__,
)
def test_as_diffusers(
    networks: Networks,
    base: Networks,
    tmp_path: Path,
    make: Callable[[Networks], files.Tensors],
    need: Callable[[str, bool, str], None],
) -> None:
    need("peft", importlib.util.find_spec("peft") is not None, "not installed")
    file = Path(files.write(tmp_path / "a.safetensors", make(base)))
    theirs = copy.deepcopy(base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        by_diffusers(theirs, file)
    assert merged(networks, str(file), 0.7)
    wanted = weights(theirs)
    for key, value in weights(networks).items():
        torch.testing.assert_close(value, wanted[key], **CLOSE)
