"""Folders as they are published: variants, shards, schedulers, tokenizers, and what else may be there."""

from __future__ import annotations

import errno
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from sctd.errors import InputError, SctdError, out_of_memory
from sctd.methods.settings import SctdSettings
from sctd.prior import hub, load_prior, parts, sources, variants
from sctd.prior.noise import check, other_family
from sctd.prior.parts import one_part, read_tokenizer
from sctd.prior.settings import PriorSettings
from sctd.schedule import Schedule


def weights_of(folder: Path, part: str) -> Path:
    (path,) = (folder / part).glob("*.safetensors")
    return path


def edit(path: Path, **values: Any) -> None:
    """Changes a JSON file; None removes a key."""
    told = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({k: v for k, v in told.items() if v is not None}))


def refusal(name: Path | str) -> str:
    """What is said of a folder before torch is asked."""
    with pytest.raises(InputError) as caught:
        sources.find(PriorSettings(name=str(name)))
    message = str(caught.value)
    assert "\n" not in message
    assert str(name) in message
    return message


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


# -- schedulers --


def scheduler(folder: Path, **values: Any) -> Path:
    edit(folder / "scheduler" / "scheduler_config.json", **values)
    return folder


NO_BETAS = {"beta_schedule": None, "beta_start": None, "beta_end": None}
FAMILIES: dict[str, tuple[dict[str, Any], str]] = {
    "flow": ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0, **NO_BETAS}, "flow matching"),
    "flow Heun": ({"_class_name": "FlowMatchHeunDiscreteScheduler"}, "flow matching"),
    "flow sigmas": ({"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True}, "flow matching"),
    "flow prediction": ({"prediction_type": "flow_prediction"}, "flow matching"),
    "EDM": ({"_class_name": "EDMEulerScheduler", "sigma_max": 80.0, **NO_BETAS}, "EDM"),
    "EDM DPM": ({"_class_name": "EDMDPMSolverMultistepScheduler", **NO_BETAS}, "EDM"),
    "cosine DPM": ({"_class_name": "CosineDPMSolverMultistepScheduler", **NO_BETAS}, "EDM"),
    "consistency": (
        {"_class_name": "CMStochasticIterativeScheduler", "sigma_max": 80.0, **NO_BETAS},
        "sigmas",
    ),
    "IPNDM": ({"_class_name": "IPNDMScheduler", **NO_BETAS}, "tells no betas (IPNDMScheduler)"),
    "no class": ({"_class_name": None, **NO_BETAS}, "tells no betas (no _class_name)"),
    "half of the betas": ({"beta_end": None}, "tells no betas"),
    "shifted": ({"_class_name": "CogVideoXDDIMScheduler", "snr_shift_scale": 3.0}, "shifted noise levels"),
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_other_noise_is_named(tiny_copy: Path, kind: str) -> None:
    values, family = FAMILIES[kind]
    message = refusal(scheduler(tiny_copy, **values))
    assert family in message
    assert "damaged" not in message


DDPM = "PNDM DDPM DDIM EulerDiscrete EulerAncestralDiscrete LMSDiscrete DPMSolverMultistep UniPCMultistep"
DDPM += " HeunDiscrete KDPM2Discrete DEISMultistep LCM TCD"


@pytest.mark.parametrize("name", DDPM.split())
def test_every_scheduler_of_ddpms_noise_tells_its_levels(name: str, tmp_path: Path) -> None:
    """abar from the betas of the config, by its definition; saved by the scheduler's own class."""
    import diffusers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of numpy, in some of the classes
        made = getattr(diffusers, f"{name}Scheduler")(
            beta_schedule="linear", beta_start=0.001, beta_end=0.01, prediction_type="v_prediction"
        )
    made.save_pretrained(tmp_path / "scheduler")
    check(tmp_path / "scheduler", "x")
    read = parts.read_scheduler(tmp_path)
    assert read.config.prediction_type == "v_prediction"
    wanted = torch.cumprod(1 - torch.linspace(0.001, 0.01, 1000, dtype=torch.float64), 0)
    # a product of up to 1000 float32 numbers
    torch.testing.assert_close(read.alphas_cumprod.double(), wanted, rtol=1000 * 2**-24, atol=0)


@pytest.mark.parametrize(
    "values", [{"trained_betas": [0.001] * 1000}, {"beta_schedule": "squaredcos_cap_v2", "beta_start": None}]
)
def test_betas_told_otherwise(tiny_copy: Path, values: dict[str, Any]) -> None:
    abar = load_prior(str(scheduler(tiny_copy, **values))).alphas_cumprod
    assert abar.shape == (1000,)
    assert bool((abar.diff() < 0).all())


def test_an_unknown_schedule_is_not_damaged(tiny_copy: Path) -> None:
    message = refusal(scheduler(tiny_copy, beta_schedule="sigmoid"))
    assert "beta_schedule 'sigmoid'; sctd knows linear" in message
    assert "damaged" not in message


@pytest.mark.parametrize("text", ["[1, 2", "[]", ""])
def test_a_damaged_scheduler(tiny_copy: Path, text: str) -> None:
    (tiny_copy / "scheduler" / "scheduler_config.json").write_text(text)
    assert "its scheduler is missing or damaged" in refusal(tiny_copy)


def test_families_from_configs_alone() -> None:
    plain = {"_class_name": "EDMLikeName", "beta_schedule": "linear", "beta_start": 0.1, "beta_end": 0.2}
    assert other_family(plain) is None


def zero_snr(betas: torch.Tensor) -> torch.Tensor:
    """Lin et al. 2023, algorithm 1: sqrt(abar) shifted and scaled to end at 0 and begin as before."""
    root = torch.cumprod(1 - betas, 0).sqrt()
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_zero_terminal_snr(tiny_copy: Path, prediction: str) -> None:
    prior = load_prior(str(scheduler(tiny_copy, rescale_betas_zero_snr=True, prediction_type=prediction)))
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    wanted = zero_snr(betas)
    assert prior.alphas_cumprod[-1] == 0
    torch.testing.assert_close(prior.alphas_cumprod, wanted, rtol=2e-3, atol=1e-7)
    schedule = Schedule(prior.alphas_cumprod, 998)
    assert schedule.level(998).alpha > 0
    z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert schedule.weights(998, SctdSettings(), z).isfinite().all()
    assert prior.predict_noise(z, 998, prior.encode_text(["a"])).isfinite().all()
    with pytest.raises(InputError, match=r"no signal left at timestep 999 .*t_max to at most 998"):
        Schedule(prior.alphas_cumprod, 999)


# -- tokenizers --


def with_words(folder: Path) -> Path:
    """Merges for red and ball, as CLIP's tokenizer has them for its words."""
    tokenizer = folder / "tokenizer"
    vocabulary = json.loads((tokenizer / "vocab.json").read_text())
    merges = ["r e", "re d</w>", "b a", "l l</w>", "ba ll</w>"]
    tokens = [*list(vocabulary)[:-2], *(m.replace(" ", "") for m in merges), *list(vocabulary)[-2:]]
    (tokenizer / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return folder


def as_one_file(folder: Path) -> Path:
    """As newer programs save it."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    for path in (folder / "tokenizer").iterdir():
        path.unlink()
    tokenizer.save_pretrained(folder / "tokenizer")
    return folder / "tokenizer" / "tokenizer.json"


def without_merges(folder: Path) -> None:
    path = as_one_file(folder)
    tree = json.loads(path.read_text())
    tree["model"]["merges"] = []
    path.write_text(json.dumps(tree))


def without_vocabulary(folder: Path) -> None:
    path = as_one_file(folder)
    tree = json.loads(path.read_text())
    tree["model"] |= {"merges": [], "vocab": {"<|endoftext|>": 0, "<|startoftext|>": 1}}
    tree["added_tokens"] = []
    path.write_text(json.dumps(tree))


@pytest.mark.parametrize("one", [False, True])
def test_a_whole_tokenizer(tiny_copy: Path, one: bool) -> None:
    with_words(tiny_copy)
    if one:
        as_one_file(tiny_copy)
    assert read_tokenizer(tiny_copy).tokenize("red ball") == ["red</w>", "ball</w>"]


def emptied(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "tokenizer" / name).write_text(text)


def nothing_left(folder: Path) -> None:
    for path in (folder / "tokenizer").iterdir():
        path.unlink()


EMPTY: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty merges.txt": (emptied("merges.txt", ""), "merges do not make the words"),
    "merges.txt of a line": (emptied("merges.txt", "#version: 0.2\n"), "merges do not make the words"),
    "no merges in tokenizer.json": (without_merges, "merges do not make the words"),
    "an empty vocab.json": (emptied("vocab.json", "{}"), "its tokenizer is missing or damaged"),
    "no vocabulary in tokenizer.json": (without_vocabulary, "its vocabulary has 2 tokens"),
    "an empty folder": (nothing_left, "its vocabulary has 2 tokens"),
    "an empty config": (emptied("tokenizer_config.json", "{}"), "no tokenizer_config.json with a model_max"),
}


@pytest.mark.parametrize("kind", EMPTY)
def test_tokenizers_with_nothing_in_them(tiny_copy: Path, kind: str) -> None:
    damage, message = EMPTY[kind]
    damage(with_words(tiny_copy))
    with pytest.raises(InputError) as caught:
        one_part("x", "tokenizer", lambda: read_tokenizer(tiny_copy))
    assert "its tokenizer is missing or damaged" in str(caught.value)
    assert message in str(caught.value)
    assert "1000000000" not in str(caught.value)


def test_a_tokenizer_of_another_text_encoder(tiny_copy: Path) -> None:
    with pytest.raises(InputError, match=r"its tokenizer has 519 tokens .*514 and 24; .*different models"):
        load_prior(str(with_words(tiny_copy)))


def test_longer_texts_than_the_text_encoder_has_places(tiny_copy: Path) -> None:
    edit(tiny_copy / "tokenizer" / "tokenizer_config.json", model_max_length=77)
    with pytest.raises(InputError, match=r"texts of 77, its text encoder 514 and 24"):
        load_prior(str(tiny_copy))


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
