"""Folders as they are published: variants, shards, schedulers, tokenizers, and what else may be there."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from published import edit, refusal, weights_of
from safetensors.torch import load_file, save_file

from sctd.errors import InputError, SctdError, out_of_memory
from sctd.prior import load_prior
from sctd.prior.load import hub, variants
from sctd.prior.load.parts import one_part

# -- variants and shards --


def shard(folder: Path, variant: str | None = None) -> None:
    """The UNet again, in some ten files."""
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float16)
    weights_of(folder, "unet").unlink()
    unet.save_pretrained(folder / "unet", max_shard_size="20KB", variant=variant)
    assert len(list((folder / "unet").glob("*-of-*.safetensors"))) > 2


def same_unet(tiny_folder: Path, copy: Path) -> bool:
    one, other = (load_prior(str(f))._unet.state_dict() for f in (tiny_folder, copy))
    return all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize("variant", [None, "fp16", "bf16", "non_ema"])
@pytest.mark.parametrize("sharded", [False, True])
def test_the_only_weights_are_read(
    tiny_folder: Path, tiny_copy: Path, variant: str | None, sharded: bool
) -> None:
    if sharded:
        shard(tiny_copy, variant)
    elif variant:
        path = weights_of(tiny_copy, "unet")
        path.rename(path.with_name(f"{path.stem}.{variant}.safetensors"))
    assert same_unet(tiny_folder, tiny_copy)


def test_a_variant_of_the_text_encoder(tiny_folder: Path, tiny_copy: Path) -> None:
    path = weights_of(tiny_copy, "text_encoder")
    path.rename(path.with_name("model.bf16.safetensors"))
    one, other = (load_prior(str(f)).encode_text(["a duck"]) for f in (tiny_folder, tiny_copy))
    assert torch.equal(one, other)


def test_plain_weights_come_before_variants(tiny_folder: Path, tiny_copy: Path) -> None:
    path = weights_of(tiny_copy, "unet")
    zeros = {key: torch.zeros_like(value) for key, value in load_file(path).items()}
    for variant in ("fp16", "non_ema"):
        save_file(zeros, path.with_name(f"{path.stem}.{variant}.safetensors"), {"format": "pt"})
    assert same_unet(tiny_folder, tiny_copy)


def test_two_unknown_variants(tiny_copy: Path) -> None:
    path = weights_of(tiny_copy, "unet")
    for variant in ("one", "two"):
        path.with_name(f"{path.stem}.{variant}.safetensors").write_bytes(path.read_bytes())
    path.unlink()
    assert "its unet cannot be used: it has the weights one and two and no plain ones" in refusal(tiny_copy)


def test_a_shard_that_is_missing(tiny_copy: Path) -> None:
    shard(tiny_copy, "fp16")
    count = len(list((tiny_copy / "unet").glob("*-of-*")))
    next((tiny_copy / "unet").glob("*-00002-of-*")).unlink()
    assert f"its unet is missing or damaged: of its shards 2 of {count} is not there" in refusal(tiny_copy)


def test_other_files_beside_the_weights_are_left_alone(tiny_folder: Path, tiny_copy: Path) -> None:
    (tiny_copy / "unet" / "notes.fp16.safetensors").write_bytes(b"nothing")
    assert same_unet(tiny_folder, tiny_copy)


def test_names_of_files() -> None:
    """The last is how transformers named the shards of a variant first."""
    names = [
        "diffusion_pytorch_model.safetensors",
        "diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
        "diffusion_pytorch_model.fp16-00002-of-00002.safetensors",
        "model-00001-of-00001.bf16.safetensors",
        "diffusion_pytorch_model.bin",
        "lora.safetensors",
        "config.json",
    ]
    assert variants.sets_of(names) == {"": names[:1], "fp16": names[1:3], "bf16": names[3:4]}
    assert variants.missing_shards(names[1:2]) == ["2 of 2"]
    assert variants.chosen(names[4:]) is None


@pytest.mark.parametrize(
    ("there", "half", "wanted"),
    [
        (["non_ema-00001-of-00001", ""], False, [""]),
        (
            ["fp16-00001-of-00002", "fp16-00002-of-00002"],
            False,
            ["fp16-00001-of-00002", "fp16-00002-of-00002"],
        ),
        (["bf16"], True, ["bf16"]),
        (["", "fp16"], True, ["fp16"]),
        (["", "fp16"], False, [""]),
    ],
)
def test_what_is_fetched_from_the_hub(there: list[str], half: bool, wanted: list[str]) -> None:
    def named(ends: list[str]) -> list[str]:
        return [f"unet/diffusion_pytorch_model{'.' * bool(end)}{end}.safetensors" for end in ends]

    others = ["vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"]
    assert hub.wanted_weights([*named(there), *others], half=half) == [*named(wanted), *others]


# -- other kinds of network and of file --


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("unet", "_class_name", "UNet3DConditionModel"),
        ("vae", "_class_name", "VQModel"),
        ("text_encoder", "architectures", ["RobertaSeriesModelWithTransformation"]),
        ("text_encoder", "architectures", ["T5EncoderModel"]),
    ],
)
def test_another_class_is_named(tiny_copy: Path, part: str, key: str, value: Any) -> None:
    edit(tiny_copy / part / "config.json", **{key: value})
    message = refusal(tiny_copy)
    assert f"its {part} is a {value if isinstance(value, str) else value[0]}; sctd runs" in message
    assert "damaged" not in message


FILES = {
    "a pointer of git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3438167540\n",
    "a zip or a pickle": b"PK\x03\x04" + bytes(60),
    "a pickle": b"\x80\x02}q\x00." + b"x" * 60,
    "a web page": b"\n<!DOCTYPE html><html>" + b" " * 60,
    "GGUF": b"GGUF\x03" + b"\x11" * 60,
    "gzip": b"\x1f\x8b\x08" + b"\x11" * 60,
}


@pytest.mark.parametrize("kind", FILES)
def test_another_kind_of_file_is_named(tiny_copy: Path, kind: str) -> None:
    weights_of(tiny_copy, "vae").write_bytes(FILES[kind])
    message = refusal(tiny_copy)
    assert kind in message
    assert "damaged" not in message


def test_pickles_alone_are_not_damaged(tiny_copy: Path) -> None:
    path = weights_of(tiny_copy, "vae")
    path.rename(path.with_suffix(".bin"))
    message = refusal(tiny_copy)
    assert "its vae is only there as a pickle" in message
    assert "damaged" not in message


def test_weights_without_a_place(tiny_copy: Path) -> None:
    """diffusers warns of them alone: of an adapter that was saved with the network, for example."""
    path = weights_of(tiny_copy, "unet")
    save_file({**load_file(path), "motion.weight": torch.zeros(2)}, path, {"format": "pt"})
    with pytest.raises(InputError, match=r"1 weights have no place in its config, first motion\.weight"):
        load_prior(str(tiny_copy))


@pytest.mark.parametrize("key", ["text_projection.weight", "logit_scale", "vision_model.x.weight"])
def test_what_compares_texts_with_pictures_may_be_there(tiny_copy: Path, key: str) -> None:
    path = weights_of(tiny_copy, "text_encoder")
    save_file({**load_file(path), key: torch.zeros(2)}, path, {"format": "pt"})
    load_prior(str(tiny_copy))


# -- too little memory, and what else is no file's fault --


def allocation() -> None:
    torch.empty(1 << 50)


def no_memory() -> None:
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


def wrapped() -> None:
    try:
        allocation()
    except RuntimeError as exc:
        raise OSError("Unable to load weights from checkpoint file") from exc


def of_numpy() -> None:
    raise MemoryError


def of_cuda() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize(
    "fail", [allocation, no_memory, wrapped, of_numpy, of_cuda], ids=lambda f: f.__name__
)
def test_too_little_memory_is_no_damage(fail: Callable[[], None]) -> None:
    with pytest.raises(MemoryError) as caught:
        one_part("x", "unet", fail)
    assert out_of_memory(caught.value)


def test_a_missing_package_is_no_damage() -> None:
    def fail() -> None:
        raise ImportError("CLIPTokenizer requires the tokenizers library but it was not found")

    with pytest.raises(
        SctdError, match=r"a package is missing here \(CLIPTokenizer requires the tok"
    ) as caught:
        one_part("x", "tokenizer", fail)
    assert caught.value.exit_code == 1


def test_no_right_to_read_is_no_damage() -> None:
    def fail() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "unet/config.json")

    with pytest.raises(InputError, match=r"unet/config\.json cannot be read: permission denied"):
        one_part("x", "unet", fail)


def test_no_word_of_memory_is_none() -> None:
    assert not out_of_memory(None)
    assert not out_of_memory(ValueError("sizes differ"))

    def fail() -> None:
        try:
            raise MemoryError
        except MemoryError:
            raise ValueError("sizes differ") from None

    with pytest.raises(ValueError, match="sizes differ") as caught:
        fail()
    assert not out_of_memory(caught.value)
