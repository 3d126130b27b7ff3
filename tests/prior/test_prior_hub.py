"""Hub ids: cache, mirrors, and what is said when nothing is there. The hub itself is a stand-in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import RepositoryNotFoundError

from sctd.config.prior import SD21_BASE
from sctd.errors import InputError
from sctd.machine.device import cuda_devices, torch_has_cuda
from sctd.prior.default import default_prior
from sctd.prior.load import hub


class StandInHub:
    """No hub: answers as told, and notes who asked for what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: dict[str, object], folder: Path) -> None:
        self.asked: list[str] = []
        self.patterns: list[str] = []

        def model_info(_: object, repository: str, timeout: float) -> object:
            assert timeout <= 5
            self.asked.append(repository)
            answer = answers[repository]
            if isinstance(answer, Exception):
                raise answer
            return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in answer])

        def snapshot_download(repository: str, **options: object) -> str:
            self.patterns = list(options["allow_patterns"])
            return str(folder)

        monkeypatch.setattr(hub, "cached_folder", lambda repository, **_: None)
        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


def gone() -> Exception:
    return RepositoryNotFoundError(
        "404: no such repository", response=SimpleNamespace(headers={}, request=None)
    )


FILES = [
    "model_index.json",
    *(
        f"{part}/{name}"
        for part in ("unet", "vae")
        for name in ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
    ),
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_pytorch_model.bin",
    "text_encoder/model.safetensors",
    "v2-1_512-ema-pruned.safetensors",
]


def test_the_next_mirror_when_one_has_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in = StandInHub(
        monkeypatch, {hub.ORIGINAL: gone(), SD21_BASE: gone(), hub.MIRRORS[1]: FILES}, tmp_path
    )
    assert hub.folder_of(hub.ORIGINAL, torch.float16) == tmp_path
    assert stand_in.asked == [hub.ORIGINAL, *hub.MIRRORS]
    weights = [p for p in stand_in.patterns if p.endswith(".safetensors")]
    assert weights == [
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/model.safetensors",
    ]


def test_full_precision_takes_the_full_files() -> None:
    wanted = hub.wanted_weights(FILES, half=False)
    assert wanted[0] == "unet/diffusion_pytorch_model.safetensors"
    assert not any("fp16" in name or "non_ema" in name for name in wanted)
    shards = [f"unet/diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert hub.wanted_weights([*shards, *FILES[3:]], half=False)[:2] == shards


def test_pickles_alone_are_not_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    StandInHub(monkeypatch, {"a/b": ["unet/x.bin", "vae/x.safetensors"]}, tmp_path)
    with pytest.raises(InputError, match=r"a/b \(it has no \.safetensors weights of its unet\)"):
        hub.folder_of("a/b", torch.float16)


def test_all_mirrors_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    StandInHub(monkeypatch, dict.fromkeys(hub.MIRRORS, gone()), tmp_path)
    with pytest.raises(InputError) as caught:
        hub.folder_of(SD21_BASE, torch.float16)
    message = str(caught.value)
    assert "\n" not in message
    for word in (
        *hub.MIRRORS,
        "404",
        "--prior embedded",
        ".safetensors file",
        "diffusers Stable Diffusion folder",
    ):
        assert word in message


def test_without_a_network_it_asks_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in = StandInHub(monkeypatch, dict.fromkeys(hub.MIRRORS, OSError("no route\nto host")), tmp_path)
    with pytest.raises(InputError, match=r"tried .*\(no route\); check the id and the network") as caught:
        hub.folder_of(SD21_BASE, torch.float16)
    assert stand_in.asked == [SD21_BASE]
    assert "\n" not in str(caught.value)


CACHED = """
import sys
from sctd.prior import load_prior
prior = load_prior(sys.argv[1])
print(prior.traits.image_size)
"""


@pytest.mark.parametrize("asked", [SD21_BASE, "stabilityai/stable-diffusion-2-1-base"])
def test_the_cache_is_enough(tiny_folder: Path, tmp_path: Path, asked: str) -> None:
    """A real look into a real cache, in a process that may not use the network; a mirror's copy will do."""
    cache = tmp_path / "hub" / f"models--{hub.MIRRORS[1].replace('/', '--')}"
    shutil.copytree(tiny_folder, cache / "snapshots" / "0123abc")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("0123abc")
    done = run_offline(asked, tmp_path)
    assert (done.returncode, done.stdout) == (0, "16\n"), done.stderr

    # an interrupted download is no pipeline
    shutil.rmtree(cache / "snapshots" / "0123abc" / "unet")
    done = run_offline(asked, tmp_path)
    assert done.returncode != 0
    assert "neither in the cache nor on the hub; tried" in done.stderr
    assert "HF_HUB_OFFLINE is set" in done.stderr


def run_offline(name: str, home: Path) -> subprocess.CompletedProcess[str]:
    import os

    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HOME": str(home),
    }
    return subprocess.run(
        [sys.executable, "-c", CACHED, name], env=environment, capture_output=True, text=True, check=False
    )


def test_default_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    from sctd.machine import device as module

    for torch_built, devices, device, name in (
        (True, 1, "auto", SD21_BASE),
        (True, 1, "cuda:0", SD21_BASE),
        (True, 1, "cpu", "embedded"),
        (True, 0, "auto", "embedded"),
        (False, 1, "auto", "embedded"),
    ):
        monkeypatch.setattr(module, "torch_has_cuda", lambda value=torch_built: value)
        monkeypatch.setattr(module, "cuda_devices", lambda value=devices: value)
        assert default_prior(device) == name


def test_this_machine_is_seen_as_torch_sees_it() -> None:
    assert torch_has_cuda() == (torch.version.cuda is not None)
    if torch.version.cuda is not None:
        assert cuda_devices() == torch.cuda.device_count()
