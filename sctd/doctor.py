"""Checks what this machine can run, and why it cannot run the rest; behind ``sctd doctor``."""

from __future__ import annotations

import itertools
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from sctd.errors import InputError
from sctd.machine import environment, waiting
from sctd.machine.cores import quota, usable_cores

Status = Literal["ok", "off", "bad"]

NEEDED_MEMORY = 3 << 30
"""Bytes that a generation takes at most, with network, VAE gradient and Torch itself."""
NEEDED_DISK = 64 << 20
"""Bytes: a run folder of the embedded preset with its checkpoints takes about a tenth."""
_PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "safetensors",
    "numpy",
    "pydantic",
    "imageio-ffmpeg",
    "plyfile",
)
_WEIGHTS = Path(__file__).parent / "embedded" / "weights"


@dataclass(frozen=True)
class Check:
    """One line of the report: ``bad``: generation cannot run, ``off``: something optional cannot."""

    name: str
    status: Status
    detail: str


def examine(folder: Path = Path()) -> list[Check]:
    """Every check; slow ones (importing Torch) included.

    Args:
        folder: the folder for runs.
    """
    checks = [_python()]
    parts = (_packages, _backends, _gpu, _attention, _embedded_prior, _threads, _memory, _video, _files)
    for part in parts:
        checks += part()
    return [*checks, _disk(folder)]


def verify() -> list[Check]:
    """Renders with every native backend that can run here, and compares with the definition in double."""

    def check() -> Iterator[Check]:
        from sctd import ops
        from sctd.ops.verify import SCENES, verify_backend

        names = [name for name, (available, _) in ops.backends().items() if available and name != "reference"]
        for name, scene in itertools.product(names, SCENES):
            right, errors = verify_backend(name, scene)
            yield Check(f"verify {name}, {scene}", "ok" if right else "bad", errors)

    return _guarded("verify", check)


def can_run(checks: list[Check]) -> bool:
    """Whether `sctd generate` with the embedded prior can run here."""
    return all(check.status != "bad" for check in checks)


def _python() -> Check:
    version = platform.python_version()
    system = f"{platform.system()} {platform.machine()}"
    return Check("python", "ok", f"{version} on {system}")


def _packages() -> list[Check]:
    found = []
    for name in _PACKAGES:
        try:
            found.append(Check(name, "ok", metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append(Check(name, "bad", f"not installed; run `pip install {name}`"))
    return found


def _guarded(name: str, check: Callable[[], Iterator[Check]]) -> list[Check]:
    """Turn any exception of a broken installation into a finding."""
    try:
        return list(check())
    except Exception as exc:
        reason = " ".join(str(exc).split())[:300]
        return [Check(name, "bad", f"{type(exc).__name__}: {reason}")]


def _backends() -> list[Check]:
    def check() -> Iterator[Check]:
        from sctd import ops

        for name, (available, reason) in ops.backends().items():
            status: Status = "ok" if available else ("bad" if name == "cpu" else "off")
            yield Check(f"backend {name}", status, reason or "available")

    return _guarded("backends", check)


def _gpu() -> list[Check]:
    def check() -> Iterator[Check]:
        import torch

        if not torch.cuda.is_available():
            why = "no CUDA device" if torch.version.cuda else "this Torch was built without CUDA"
            yield Check("gpu", "off", why)
            return
        for i in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(i)
            yield Check("gpu", "ok", f"cuda:{i} {found.name}, {found.total_memory / 2**30:.0f} GiB")

    return _guarded("gpu", check)


def _attention() -> list[Check]:
    """The attention kernels for Stable Diffusion; a real call decides."""

    def check() -> Iterator[Check]:
        import torch

        from sctd.prior.attention import choose
        from sctd.prior.load.loader import default_dtype

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        used = choose("auto", device, default_dtype(device))
        yield Check("attention", "ok", f"{used.name} on {device}: {used.reason}")

    return _guarded("attention", check)


def _embedded_prior() -> list[Check]:
    def check() -> Iterator[Check]:
        files = sorted(_WEIGHTS.rglob("*.safetensors"))
        if not (_WEIGHTS / "model_index.json").is_file() or not files:
            yield Check("embedded prior", "bad", "its weights are not installed; reinstall sctd")
            return
        damaged = [str(path.relative_to(_WEIGHTS)) for path in files if not is_whole_safetensors(path)]
        if damaged:
            yield Check("embedded prior", "bad", f"{', '.join(damaged)} is damaged; reinstall sctd")
            return
        size = sum(path.stat().st_size for path in files)
        yield Check("embedded prior", "ok", f"{len(files)} weight files, {size / 1e6:.1f} MB")

    return _guarded("embedded prior", check)


def is_whole_safetensors(path: Path) -> bool:
    """Whether a safetensors file is as long as its header says; finds cut files without reading them."""
    from sctd.prior.load.headers import read_header

    try:
        read_header(path)
    except InputError:
        return False
    return True


def _threads() -> list[Check]:
    granted = quota()
    limit = f", {granted:g} cores granted by the container" if granted is not None else ""
    wishes = [
        f"{name}={os.environ[name]}" for name in ("SCTD_NUM_THREADS", "OMP_NUM_THREADS") if name in os.environ
    ]
    set_by = f", limited by {' '.join(wishes)}" if wishes else ""
    try:
        environment.check_variables()
    except InputError as exc:
        return [Check("threads", "bad", str(exc))]
    unknown = [Check("variables", "off", line) for line in environment.unknown_variables()]
    usable = f"{usable_cores()} of {os.cpu_count()} cores usable{limit}{set_by}"
    return [Check("threads", "ok", usable), Check("waiting", "ok", waiting.in_force()), *unknown]


def _files() -> list[Check]:
    """The files that a run can start from and that can adapt a prior, and the refused ones."""
    from sctd import formats
    from sctd.formats.gltf_extensions import INSTEAD
    from sctd.prior.load.lora_keys import OTHER_KINDS

    refused = f"glTF that requires {', '.join(INSTEAD)} or an extension that sctd does not know"
    others = f"{', '.join(OTHER_KINDS)}, and those for other bases than Stable Diffusion 1.x and 2.x"
    return [
        Check(
            "starts",
            "ok",
            f"{' '.join(formats.ASSET_ENDINGS)}; refused by name: {refused}",
        ),
        Check(
            "adapters",
            "ok",
            f"LoRA, LoCon, DoRA, textual inversions; refused by name: {others}",
        ),
    ]


def _memory() -> list[Check]:
    available = available_memory()
    if available is None:
        return [Check("memory", "off", "cannot be found out on this system")]
    text = f"{available / 2**30:.1f} GiB available"
    if available < NEEDED_MEMORY:
        return [Check("memory", "bad", f"{text}, up to {NEEDED_MEMORY / 2**30:.0f} GiB are needed")]
    return [Check("memory", "ok", text)]


def available_memory() -> int | None:
    """Bytes that the system or the container has left for a new process; None if unknown."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        available = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            available = min(available, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such limit ("max" is no number)
            continue
    return max(available, 0)


def _video() -> list[Check]:
    def check() -> Iterator[Check]:
        import imageio_ffmpeg

        yield Check("video encoder", "ok", f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}")

    return _guarded("video encoder", check)


def _disk(folder: Path) -> Check:
    folder = folder.absolute()
    try:
        free = shutil.disk_usage(folder).free
    except OSError as exc:
        return Check("disk", "bad", f"{folder}: {exc.strerror or exc}")
    text = f"{free / 2**30:.1f} GiB free in {folder}"
    if not os.access(folder, os.W_OK):
        return Check("disk", "bad", f"{folder} cannot be written; run sctd in another folder or pass --out")
    if free < NEEDED_DISK:
        return Check("disk", "bad", f"{text}, about {NEEDED_DISK / 2**20:.0f} MiB are needed")
    return Check("disk", "ok", text)
