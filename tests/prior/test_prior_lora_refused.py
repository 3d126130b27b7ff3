"""LoRAs that do not fit or are of another kind: each is refused in one line that says why."""

from __future__ import annotations

import copy
from pathlib import Path

import lora_files as files
import pytest
import torch
from lora_files import Networks, made, weights

from sctd.config.prior import PriorSettings
from sctd.errors import InputError
from sctd.prior.load import lora, sources


def refused(networks: Networks, file: str, *words: str) -> None:
    """The file is refused in one line that names it."""
    with pytest.raises(InputError) as caught:
        lora.merge(file, 1.0, networks, "tiny")
    message = str(caught.value)
    assert "\n" not in message
    for word in (file, *words):
        assert word in message, message


KINDS = {
    "LoHa": ["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"],
    "LoKr": ["lokr_w1", "lokr_w2_a", "lokr_w2_b"],
    "(IA)^3": ["weight", "on_input"],
    "OFT or BOFT": ["oft_blocks"],
    "GLoRA": ["a1.weight", "a2.weight", "b1.weight", "b2.weight"],
    "full differences of weights": ["diff", "diff_b"],
    "changes of norm layers": ["w_norm", "b_norm"],
    "VeRA": ["vera_lambda_b", "vera_lambda_d"],
    "a LoRA of embeddings": ["lora_embedding_A", "lora_embedding_B"],
    "a LoRA with biases": ["lora_A.weight", "lora_B.weight", "lora_B.bias"],
    "no LoRA, LoCon or DoRA": ["something"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_are_named(networks: Networks, tmp_path: Path, kind: str) -> None:
    """Before torch is asked, too: the header tells."""
    if kind == "(IA)^3":
        tensors = {f"{files.flat(files.QUERY)}.on_input": torch.zeros(1)}
    else:
        tensors = {f"{files.flat(files.QUERY)}.{end}": torch.zeros(2, 2) for end in KINDS[kind]}
    file = files.write(tmp_path / "a.safetensors", tensors)
    refused(networks, file, kind)
    settings = PriorSettings(name="owner/model", loras=[file])
    with pytest.raises(InputError):
        sources.find(settings)


BASES = {
    "Stable Diffusion XL": [
        "lora_te2_text_model_encoder_layers_0_mlp_fc1",
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q",
        "lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn1_to_q",
        "unet.down_blocks.2.attentions.1.transformer_blocks.9.attn1.to_q",
        "text_encoder_2.text_model.encoder.layers.0.mlp.fc1",
        "lora_unet_label_emb_0_0",
    ],
    "Flux": ["lora_unet_double_blocks_0_img_attn_qkv", "transformer.single_transformer_blocks.0.attn.to_q"],
    "Stable Diffusion 3": ["lora_unet_joint_blocks_0_x_block_attn_qkv", "lora_te3_encoder_block_0_layer_0"],
    "a transformer model": ["transformer.transformer_blocks.0.attn.to_q"],
}


@pytest.mark.parametrize(
    ("kind", "layer"), [(kind, layer) for kind, names in BASES.items() for layer in names]
)
def test_other_bases_are_named(networks: Networks, tmp_path: Path, kind: str, layer: str) -> None:
    ends = ("lora_A", "lora_B") if "." in layer else ("lora_down", "lora_up")
    tensors = {f"{layer}.{end}.weight": torch.zeros(2, 2) for end in ends}
    tensors |= files.kohya(files.QUERY, files.matrices((16, 16), 2, 0))
    refused(networks, files.write(tmp_path / "a.safetensors", tensors), f"it is for {kind}", layer)


def test_a_layer_of_another_width_tells_whose_it_is(networks: Networks, tmp_path: Path) -> None:
    """Keys of attention to the text have the width of the base's texts."""
    for width, name in (
        (768, "Stable Diffusion 1.x"),
        (1024, "Stable Diffusion 2.x"),
        (2048, "Diffusion XL"),
    ):
        tensors = files.kohya(files.KEY, files.matrices((16, width), 2, 0))
        file = files.write(tmp_path / "a.safetensors", tensors)
        refused(networks, file, "does not fit prior tiny", f"16 x {width}", name, "use one made for it")


@pytest.mark.parametrize("role", ["down", "up", "mid"])
def test_matrices_that_do_not_fit(networks: Networks, tmp_path: Path, role: str) -> None:
    m = files.matrices((8, 8, 3, 3), 2, 0, tucker=True)
    m[role] = m[role][:1, :1] if role == "mid" else m[role][:, :1]
    file = files.write(tmp_path / "a.safetensors", files.kohya(files.CONVOLUTION, m))
    refused(networks, file, "does not fit prior tiny", "8 x 8 x 3 x 3", "use one made for it")


@pytest.mark.parametrize("axis", [0, 1])
def test_magnitudes_that_do_not_fit(networks: Networks, tmp_path: Path, axis: int) -> None:
    tensors = files.kohya(files.FEED, files.matrices((128, 16), 2, 0))
    shape = (5, 1) if axis == 0 else (1, 5)
    tensors[f"{files.flat(files.FEED)}.dora_scale"] = torch.ones(shape)
    refused(networks, files.write(tmp_path / "a.safetensors", tensors), "does not fit", "magnitudes", "5")


@pytest.mark.parametrize("lost", [1, 3])
def test_layers_that_are_not_there(base: Networks, networks: Networks, tmp_path: Path, lost: int) -> None:
    tensors: files.Tensors = {}
    for i, (layer, m) in enumerate(made(base, files.UNET[:3]).items()):
        tensors |= files.kohya(layer.replace("block", "blok") if i < lost else layer, m)
    file = files.write(tmp_path / "a.safetensors", tensors)
    refused(networks, file, f"{3 - lost} of its 3 layers are there", "blok", "use one made for it")
    assert all(torch.equal(v, weights(base)[k]) for k, v in weights(networks).items())


@pytest.mark.parametrize("role", ["down", "up"])
def test_half_a_layer(networks: Networks, tmp_path: Path, role: str) -> None:
    tensors = files.kohya(files.QUERY, files.matrices((16, 16), 2, 0))
    del tensors[f"{files.flat(files.QUERY)}.lora_{role}.weight"]
    refused(networks, files.write(tmp_path / "a.safetensors", tensors), "incomplete", f"its {role} matrix")


def test_alphas_alone(networks: Networks, tmp_path: Path) -> None:
    file = files.write(tmp_path / "a.safetensors", {f"{files.flat(files.QUERY)}.alpha": torch.tensor(1.0)})
    refused(networks, file, "incomplete", "down and up")


def test_an_alpha_of_many_numbers(networks: Networks, tmp_path: Path) -> None:
    tensors = files.kohya(files.QUERY, files.matrices((16, 16), 2, 0))
    tensors[f"{files.flat(files.QUERY)}.alpha"] = torch.ones(3)
    refused(networks, files.write(tmp_path / "a.safetensors", tensors), "alpha of 3 numbers")


def test_an_empty_file(networks: Networks, tmp_path: Path) -> None:
    refused(networks, files.write(tmp_path / "a.safetensors", {}), "holds no tensors")


def test_one_layer_under_two_names(networks: Networks, tmp_path: Path) -> None:
    m = files.matrices((16, 16), 2, 0)
    tensors = files.kohya(files.QUERY, m) | {k: v.clone() for k, v in files.diffusers(files.QUERY, m).items()}
    refused(networks, files.write(tmp_path / "a.safetensors", tensors), "twice")
    te = files.matrices((16, 16), 2, 0)
    tensors = files.kohya(files.TEXT_VALUE, te)
    tensors |= {k: v.clone() for k, v in files.kohya_te1(files.TEXT_VALUE, te).items()}
    refused(networks, files.write(tmp_path / "b.safetensors", tensors), "twice")
    tensors = files.diffusers(files.QUERY, m)
    tensors |= {k: v.clone() for k, v in files.diffusers_default(files.QUERY, m).items()}
    refused(networks, files.write(tmp_path / "c.safetensors", tensors), "two tensors for the same place")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("end", ["lora_up.weight", "alpha"])
def test_values_that_are_not_finite(networks: Networks, tmp_path: Path, end: str, value: float) -> None:
    tensors = files.kohya(files.QUERY, files.matrices((16, 16), 2, 0))
    tensors[f"{files.flat(files.QUERY)}.alpha"] = torch.tensor(1.0)
    tensors[f"{files.flat(files.QUERY)}.{end}"].view(-1)[-1] = value
    refused(networks, files.write(tmp_path / "a.safetensors", tensors), end, "not finite")


def test_a_quantised_file(networks: Networks, tmp_path: Path) -> None:
    tensors = files.kohya(files.QUERY, files.matrices((16, 16), 2, 0))
    tensors = {k: (100 * v).to(torch.int8) for k, v in tensors.items()}
    refused(networks, files.write(tmp_path / "a.safetensors", tensors), "whole numbers", "not quantised")


def test_a_weight_that_overflows(base: Networks, tmp_path: Path) -> None:
    half = {name: copy.deepcopy(network).half() for name, network in base.items()}
    tensors = files.kohya(files.QUERY, files.matrices((16, 16), 2, 0))
    file = files.write(tmp_path / "a.safetensors", tensors)
    with pytest.raises(
        InputError, match=r"at weight 1e\+08 makes layer .* overflow float16; .*smaller weight"
    ):
        lora.merge(file, 1e8, half, "tiny")


@pytest.mark.parametrize("weight", ["nan", "inf", "-inf"])
def test_weights_that_are_no_number(tmp_path: Path, weight: str) -> None:
    file = files.write(tmp_path / "a.safetensors", files.kohya(files.QUERY, files.matrices((16, 16), 2, 0)))
    with pytest.raises(InputError, match=rf"LoRA .*a\.safetensors: its weight is {weight}; give a number"):
        sources.find(PriorSettings(name="owner/model", loras=[f"{file}:{weight}"]))
