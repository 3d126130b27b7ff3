"""LoRAs and textual inversions: what they change, to the number, and which are refused."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sctd.errors import InputError
from sctd.prior import adapters, load_prior
from sctd.prior.settings import PriorSettings, split_weight, split_word

SCALE = 4 / 2  # alpha / rank


@pytest.fixture(scope="module")
def lora(
    tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, need: Callable[[str, bool, str], None]
) -> Path:
    """Random matrices for keys and queries of the UNet and the text encoder, saved by diffusers and peft."""
    need("peft", importlib.util.find_spec("peft") is not None, "not installed")
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict
    from transformers import CLIPTextModel

    folder = tmp_path_factory.mktemp("lora")
    layers = {}
    for part, cls, names in (
        ("unet", UNet2DConditionModel, ["to_q", "to_k"]),
        ("text_encoder", CLIPTextModel, ["q_proj", "k_proj"]),
    ):
        network = cls.from_pretrained(tiny_folder / part, torch_dtype=torch.float32)
        network.add_adapter(LoraConfig(r=2, lora_alpha=4, target_modules=names, init_lora_weights=False))
        layers[part] = get_peft_model_state_dict(network)
    # the file of diffusers' older kind does not say alpha: it is put into one matrix
    layers = {p: {k: v * (SCALE if "lora_B" in k else 1) for k, v in t.items()} for p, t in layers.items()}
    StableDiffusionPipeline.save_lora_weights(
        folder, unet_lora_layers=layers["unet"], text_encoder_lora_layers=layers["text_encoder"]
    )
    return folder / "pytorch_lora_weights.safetensors"


def changes(tiny_folder: Path, **settings: object) -> dict[str, torch.Tensor]:
    """What the weights of UNet and text encoder are above the plain ones, where they differ."""
    plain, other = load_prior(str(tiny_folder)), load_prior(PriorSettings(name=str(tiny_folder), **settings))
    found = {}
    for part in ("_unet", "_text_encoder"):
        before = getattr(plain, part).state_dict()
        after = getattr(other, part).state_dict()
        assert after.keys() == before.keys()
        found |= {part + k: after[k] - v for k, v in before.items() if not torch.equal(v, after[k])}
    return found


@pytest.mark.parametrize(("ending", "weight"), [("", 1.0), (":0.5", 0.5), (":-2", -2.0)])
def test_lora_adds_weight_times_b_a(tiny_folder: Path, lora: Path, ending: str, weight: float) -> None:
    matrices = load_file(lora)
    firsts = {k: v for k, v in matrices.items() if k.endswith("lora_A.weight")}
    found = changes(tiny_folder, loras=[f"{lora}{ending}"])
    # the UNet has four blocks with two attentions each, the text encoder one
    assert len(found) == len(firsts) == 2 * (4 * 2 + 1)
    for key, a in firsts.items():
        part, _, layer = key.removesuffix(".lora_A.weight").partition(".")
        name = next(k for k in found if k.startswith(f"_{part}") and layer in k)
        b = matrices[key.replace("lora_A", "lora_B")]
        torch.testing.assert_close(found[name], weight * b @ a, rtol=1e-4, atol=1e-6)


def test_two_loras_add_up(tiny_folder: Path, lora: Path) -> None:
    once, twice = (changes(tiny_folder, loras=[str(lora)] * n) for n in (1, 2))
    for key, change in once.items():
        torch.testing.assert_close(twice[key], 2 * change, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("damage", ["another width", "another layer"])
def test_lora_of_another_model(tiny_folder: Path, lora: Path, tmp_path: Path, damage: str) -> None:
    tensors = load_file(lora)
    if damage == "another width":
        tensors = {k: v.repeat(1, 2) if "lora_A" in k else v.repeat(2, 1) for k, v in tensors.items()}
    else:
        tensors = {k.replace("attn2", "attn7"): v for k, v in tensors.items()}
    path = tmp_path / "other.safetensors"
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, {"format": "pt"})
    with pytest.raises(
        InputError, match=r"other\.safetensors does not fit prior .*use one made for it"
    ) as caught:
        load_prior(PriorSettings(name=str(tiny_folder), loras=[str(path)]))
    assert "\n" not in str(caught.value)


def test_without_peft_it_says_what_to_install(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"unet.x.lora_A.weight": torch.zeros(2, 2)}, path)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        adapters.importlib.util, "find_spec", lambda n, *a: None if n == "peft" else find(n, *a)
    )
    with pytest.raises(InputError, match=r"pip install 'sctd\[lora\]'"):
        load_prior(PriorSettings(name=str(tiny_folder), loras=[str(path)]))


def word_file(path: Path, key: str = "<duck>", vectors: int = 2, width: int = 16) -> Path:
    values = torch.randn(vectors, width, generator=torch.Generator().manual_seed(3))
    save_file({key: values}, path)
    return path


def test_textual_inversion_is_a_word_of_several_tokens(tiny_folder: Path, tmp_path: Path) -> None:
    file = word_file(tmp_path / "learned.safetensors")
    prior = load_prior(PriorSettings(name=str(tiny_folder), embeddings=[str(file)]))
    ids = prior._tokenizer(prior._expand("a <duck>")).input_ids
    vectors = prior._text_encoder.get_input_embeddings().weight[ids]
    torch.testing.assert_close(vectors[-3:-1], load_file(file)["<duck>"])
    plain = load_prior(str(tiny_folder))
    torch.testing.assert_close(prior.encode_text(["a mug"]), plain.encode_text(["a mug"]))
    assert not torch.allclose(prior.encode_text(["a <duck>"]), plain.encode_text(["a <duck>"]))


def test_textual_inversion_without_a_word_of_its_own(tiny_folder: Path, tmp_path: Path) -> None:
    file = word_file(tmp_path / "a1111.safetensors", "emb_params")
    name = str(tiny_folder)
    with pytest.raises(InputError, match=r"does not name its word; give it as .*:WORD"):
        load_prior(PriorSettings(name=name, embeddings=[str(file)]))
    prior = load_prior(PriorSettings(name=name, embeddings=[f"{file}:quack"]))
    assert prior._expand("a quack") == "a quack quack_1"


def test_textual_inversion_of_another_width(tiny_folder: Path, tmp_path: Path) -> None:
    file = word_file(tmp_path / "wide.safetensors", width=8)
    with pytest.raises(InputError, match=r"wide\.safetensors does not fit prior .*use one made for it"):
        load_prior(PriorSettings(name=str(tiny_folder), embeddings=[str(file)]))


def test_paths_with_weights_and_words() -> None:
    assert split_weight("a.safetensors") == ("a.safetensors", 1)
    assert split_weight("C:/a.safetensors:0.25") == ("C:/a.safetensors", 0.25)
    assert split_weight("odd:name.safetensors") == ("odd:name.safetensors", 1)
    assert split_word("a:b.safetensors:<cat>") == ("a:b.safetensors", "<cat>")
    assert split_word("a:b.safetensors") == ("a:b.safetensors", None)
