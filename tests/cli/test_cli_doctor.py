"""The doctor's findings, and that its exit code says whether the main job can run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cli_outcome import Outcome
from safetensors.torch import save_file

from sctd import doctor, formats
from sctd.doctor import Check

Command = Callable[..., Outcome]


def test_exit_code_and_table(sctd: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [Check("python", "ok", "3.11"), Check("gpu", "off", "no CUDA device")]
    monkeypatch.setattr(doctor, "examine", lambda folder: checks)
    shown = sctd("doctor")
    assert shown.code == 0
    assert shown.out.splitlines()[1].split(maxsplit=2) == ["off", "gpu", "no CUDA device"]
    assert shown.out.splitlines()[-1] == "sctd generate can run here"

    checks.append(Check("memory", "bad", "1 GiB"))
    shown = sctd("doctor")
    assert shown.code == 1
    assert "BAD  memory" in shown.out
    assert "cannot run here" in shown.out

    data = json.loads(sctd("doctor", "--json").out)
    assert data["can_run"] is False
    assert data["checks"][2] == {"name": "memory", "status": "bad", "detail": "1 GiB"}


def test_every_part_is_examined(tmp_path: Path) -> None:
    checks = doctor.examine(tmp_path)
    names = {check.name for check in checks}
    assert {"python", "torch", "gpu", "embedded prior", "threads", "memory", "video encoder", "disk"} <= names
    assert any(name.startswith("backend") for name in names)
    told = {check.name: check.detail for check in checks}
    read, refused = told["starts"].split("; refused by name: ")
    assert read.split() == list(formats.ASSET_ENDINGS)
    assert "KHR_draco_mesh_compression" in refused
    assert not any(ending in refused for ending in formats.ASSET_ENDINGS)
    assert all(word in told["adapters"] for word in ("DoRA", "LoHa", "LoKr"))
    assert told["waiting"].startswith("torch's threads wait")
    assert all(check.detail and "\n" not in check.detail for check in checks)
    assert {check.status for check in checks} <= {"ok", "off", "bad"}


def test_whole_and_cut_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.arange(10.0), "b": torch.zeros(3, 4)}, path, {"format": "pt"})
    assert doctor.is_whole_safetensors(path)
    whole = path.read_bytes()
    for damaged in (
        whole[:-1],
        whole + b"\0",
        whole[:20],
        b"",
        b"\xff" * 100,
        whole[:8] + b"[1]" + whole[11:],
    ):
        path.write_bytes(damaged)
        assert not doctor.is_whole_safetensors(path), damaged[:30]


def test_damaged_embedded_weights_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_WEIGHTS", tmp_path)
    (check,) = doctor._embedded_prior()
    assert (check.status, check.detail) == ("bad", "its weights are not installed; reinstall sctd")

    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    save_file({"a": torch.zeros(4)}, tmp_path / "unet" / "model.safetensors")
    (check,) = doctor._embedded_prior()
    assert check.status == "ok"

    (tmp_path / "unet" / "model.safetensors").write_bytes(b"\0" * 50)
    (check,) = doctor._embedded_prior()
    assert check.status == "bad"
    assert "unet/model.safetensors is damaged" in check.detail


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, status in ((1 << 30, "bad"), (8 << 30, "ok"), (None, "off")):
        monkeypatch.setattr(doctor, "available_memory", lambda available=available: available)
        assert [check.status for check in doctor._memory()] == [status]


def test_memory_of_this_machine_is_plausible() -> None:
    available = doctor.available_memory()
    assert available is None or 1 << 20 < available < 1 << 50


def test_disk(tmp_path: Path) -> None:
    assert doctor._disk(tmp_path).status == "ok"
    assert doctor._disk(tmp_path / "missing").status == "bad"


def test_a_broken_part_is_a_finding_not_a_crash() -> None:
    def broken() -> None:
        raise ImportError("libfoo.so:\n cannot open")

    (check,) = doctor._guarded("backends", broken)  # type: ignore[arg-type]
    assert (check.status, check.detail) == ("bad", "ImportError: libfoo.so: cannot open")


def test_verify_renders_and_compares(sctd: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from sctd.ops import verify

    shown = sctd("doctor", "--verify")
    lines = [line for line in shown.out.splitlines() if "verify cpu" in line]
    for line, scene in zip(lines, verify.SCENES, strict=True):
        assert line.startswith(f"ok   verify cpu, {scene}")
        assert "picture off by" in line

    wrong = verify.rasterization

    def brighter(*args: object, backend: str, **options: object) -> tuple[torch.Tensor, ...]:
        renders, *rest = wrong(*args, backend=backend, **options)  # type: ignore[arg-type]
        return (renders * (1.001 if backend == "cpu" else 1.0), *rest)

    monkeypatch.setattr(verify, "rasterization", brighter)
    shown = sctd("doctor", "--verify")
    assert shown.code == 1
    assert "BAD  verify cpu, Gaussians" in shown.out
    assert "ok   verify cpu, triangles" in shown.out


def test_verify_notices_a_wrong_gradient_of_triangles(monkeypatch: pytest.MonkeyPatch) -> None:
    from sctd.ops import triangles, verify

    monkeypatch.setattr(triangles, "edge_gradient", lambda picture, *args, **options: picture)
    native = verify.SCENES["triangles"]("cpu", torch.float32, "cpu")
    monkeypatch.undo()
    monkeypatch.setitem(
        verify.SCENES,
        "triangles",
        lambda backend, *where: native if backend == "cpu" else verify._triangles(backend, *where),
    )
    right, errors = verify.verify_backend("cpu", "triangles")
    assert not right, errors


@pytest.mark.usefixtures("simt_module")
@pytest.mark.parametrize("scene", ["Gaussians", "triangles"])
def test_verify_finds_the_cuda_kernels_right(scene: str) -> None:
    from sctd.ops.verify import verify_backend

    right, errors = verify_backend("cuda-simt", scene)
    assert right, errors
