"""Checkpoints in one file: read without the hub, to the last weight, or refused."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
from original_layout import write_file
from safetensors.torch import load_file, save_file
from tiny import write_folder

from sctd.config.prior import PriorSettings
from sctd.errors import InputError
from sctd.prior import load_prior
from sctd.prior.load import hub
from sctd.prior.load.architectures import write_configs, write_tokenizer
from sctd.prior.load.parts import read_tokenizer
from sctd.prior.load.single_file import skeleton


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("something asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module", params=["sd1", "sd2"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder and the same weights as a file; Stable Diffusion 1 with epsilon, 2 with v."""
    root = tmp_path_factory.mktemp(request.param)
    sd2 = request.param == "sd2"
    folder = write_folder(root / "folder", "v_prediction" if sd2 else "epsilon", sd2=sd2)
    return folder, write_file(folder, root / "model.safetensors", open_clip=sd2)


def settings_of(pair: tuple[Path, Path], **more: str) -> PriorSettings:
    folder, file = pair
    return PriorSettings(name=str(file), config=str(folder), **more)


def test_a_file_is_the_folder_that_it_was_made_from(pair: tuple[Path, Path]) -> None:
    one, other = load_prior(str(pair[0])), load_prior(settings_of(pair))
    assert other.traits.prediction == one.traits.prediction
    text = one.encode_text(["a red duck", ""])
    z, images = torch.randn(2, 4, 8, 8), torch.rand(2, 3, 16, 16)
    assert torch.equal(other.encode_text(["a red duck", ""]), text)
    assert torch.equal(other.predict(z, 400, text), one.predict(z, 400, text))
    # attention of the VAE is a linear layer or a 1 x 1 convolution: rounding may differ
    torch.testing.assert_close(other.encode_images(images), one.encode_images(images))
    torch.testing.assert_close(other.decode(z).clamp(0, 1), one.decode(z).clamp(0, 1))


def test_the_prediction_can_be_told(pair: tuple[Path, Path]) -> None:
    assert load_prior(settings_of(pair, prediction="sample")).traits.prediction == "sample"
    assert load_prior(PriorSettings(name=str(pair[0]), prediction="sample")).traits.prediction == "sample"


@pytest.mark.parametrize("prefix", ["model.diffusion_model", "first_stage_model", "cond_stage_model"])
def test_a_file_that_lacks_one_tensor(pair: tuple[Path, Path], prefix: str, tmp_path: Path) -> None:
    """diffusers would leave it at its random start."""
    tensors = load_file(pair[1])
    key = next(k for k in sorted(tensors) if k.startswith(prefix) and k.endswith("bias"))
    del tensors[key]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"is missing or damaged \(\d+ weights in the file, \d+ by its"):
        load_prior(settings_of((pair[0], tmp_path / "model.safetensors")))


def test_a_file_with_a_value_that_is_no_number(pair: tuple[Path, Path], tmp_path: Path) -> None:
    tensors = load_file(pair[1])
    tensors["model.diffusion_model.out.2.bias"][0] = float("nan")
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"its unet is missing or damaged .*not finite"):
        load_prior(settings_of((pair[0], tmp_path / "model.safetensors")))


def test_another_architecture_needs_its_configs(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "clip_merges", lambda name: MERGES)
    with pytest.raises(InputError, match=r"by its configs\); fetch it again, or name .*prior\.config=FOLDER"):
        load_prior(PriorSettings(name=str(pair[1]), prediction="epsilon"))


# Published numbers of weights: UNet 859.5 and 865.9 M, VAE 83.7 M, text encoders 123.1 and 340.4 M.
COUNTS = {
    "sd1": (859_520_964, 83_653_863, 123_060_480),
    "sd2": (865_910_724, 83_653_863, 340_387_840),
}


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_configs_that_come_with_the_package(family: str, tmp_path: Path) -> None:
    networks = skeleton(write_configs(tmp_path, family, "v_prediction"), "x")
    counts = tuple(sum(p.numel() for p in network.parameters()) for network in networks.values())
    assert counts == COUNTS[family]
    assert networks["unet"].config.sample_size == (96 if family == "sd2" else 64)


MERGES = "#version: 0.2\nc a\nca t</w>\n"
"""The beginning of a merges.txt as CLIP has one; its own has 48,894 pairs and lives on the hub."""


def fill_cache(home: Path) -> None:
    """A hub cache with CLIP's merges in it, as huggingface_hub lays it out."""
    repository = home / "hub" / "models--openai--clip-vit-large-patch14"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "merges.txt").write_text(MERGES, encoding="utf-8")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40, encoding="utf-8")


def test_the_tokenizer_is_clips(tmp_path: Path) -> None:
    """Numbers by CLIP's rule: 256 bytes, 256 that end a word, the pairs in their order, start, end."""
    tokenizers = []
    for family in ("sd1", "sd2"):
        write_tokenizer(tmp_path / family / "tokenizer", family, MERGES)
        tokenizers.append(read_tokenizer(tmp_path / family))
    cat, a, start, end = 513, ord("a") - ord("!") + 256, 514, 515
    assert len(tokenizers[0]) == 516
    assert tokenizers[0](["a cat"]).input_ids == [[start, a, cat, end]]
    ids = [t(["cat"], padding="max_length", max_length=5).input_ids[0] for t in tokenizers]
    assert ids == [[start, cat, end, end, end], [start, cat, end, 0, 0]]


def test_clips_merges_come_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_cache(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert hub.clip_merges("x.safetensors") == MERGES


def test_without_clips_merges_one_line_says_what_to_do(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network refuses, as on a train; the file's own weights have not been read by then."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"HF_HUB_OFFLINE is set.*prior\.config=FOLDER") as caught:
        load_prior(PriorSettings(name=str(pair[1]), prediction="epsilon"))
    assert "\n" not in str(caught.value)
