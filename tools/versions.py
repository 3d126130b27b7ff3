"""Tries the wheel in dist/ as others would have it: a fresh environment, versions of a choice, no compiler.

    python tools/versions.py pinned    the versions of constraints.txt: what the wheel holds, and the main job
    python tools/versions.py oldest    the lowest that pyproject.toml allows and this Python has wheels of:
                                       the main job beside every extra, and a few tests of every dependency
    python tools/versions.py newest    the same with what pip takes unasked

`make wheel`, `make oldest` and `make newest` build the wheel first. The environment lies in a temporary
folder (TMPDIR), 1 to 7 GB of it, and is removed again. What was installed is listed; the exit code is 1 if
anything fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
EXTRAS = ("bench", "cluster", "exr", "mesh", "tensorboard", "view")
TESTS = {
    "torch": ("splats/test_scene.py", "splats/test_optim.py", "methods/test_sctd.py"),
    "diffusers": ("prior/test_prior.py", "prior/test_prior_single_file.py"),
    "transformers": ("test_text.py", "evaluate/test_clip_scores.py"),
    "huggingface-hub": ("prior/test_prior_hub.py", "initial/test_initial_shap_e.py"),
    "safetensors": ("run/test_files.py",),
    "numpy": ("formats/test_axes.py", "embedded/test_world.py"),
    "fsspec": ("batch/test_store.py",),
    "pillow": ("export/test_export_pictures.py",),
    "pydantic": ("config/test_config.py",),
    "pyyaml": ("config/test_config.py",),
    "typer": ("cli/test_cli_help.py", "cli/test_cli_bad_input.py"),
    "rich": ("cli/test_cli_progress.py",),
    "imageio-ffmpeg": ("export/test_export_pictures.py",),
    "plyfile": ("formats/test_formats_ply.py", "formats/test_foreign_ply.py"),
    "zstandard": ("formats/test_round_trips.py",),
    "scipy": ("initial/test_initial_clouds.py",),
    "OpenEXR": ("cli/test_cli_frames.py",),
    "tensorboardX": ("run/test_diary.py",),
    "mapbox-earcut": ("initial/test_obj.py",),
    "scikit-image": ("mesh/test_extract.py",),
    "fast-simplification": ("mesh/test_extract.py",),
    "uvunwrap": ("mesh/test_extract.py",),
    "xatlas": ("mesh/test_extract.py",),
    "matplotlib": ("bench/test_bench_plot.py",),
    "viser": ("viewer/test_view_server.py",),
    "ray": ("batch/test_batch_cluster.py",),
}
"""Every dependency, and the tests that call what we call of it; none of tests/ops, which need a compiler."""
BESIDE = ("pytest", "psutil")
"""What these tests need that is no dependency of ours."""


def run(
    command: Sequence[str | Path], folder: Path = ROOT, environment: dict[str, str] | None = None
) -> None:
    """Show a command, and run it; SystemExit where it fails."""
    words = [str(word) for word in command]
    print("+", *words, flush=True)
    if subprocess.run(words, cwd=folder, env=environment, check=False).returncode != 0:
        raise SystemExit(f"versions: this failed: {' '.join(words)}")


def wheel_of_this_python() -> Path:
    """What `make wheel` built for the Python that runs this."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    found = sorted((ROOT / "dist").glob(f"sctd-*-{tag}-{tag}-*.whl"))
    if len(found) != 1:
        raise SystemExit(f"versions: {len(found)} wheels for {tag} in dist/, one is needed; run `make wheel`")
    return found[0]


def check_contents(wheel: Path) -> None:
    """All of the package and the command, the native module, the licence, and nothing else."""
    listed = subprocess.run(
        ["git", "ls-files", "sctd", "cli"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    expected = {name.replace("cli/", "sctd_cli/", 1) for name in listed.stdout.split()}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    module = {name for name in names if name.startswith("sctd/_native.")}
    licences = {name for name in names if name.endswith(".dist-info/licenses/LICENSE")}
    held = {name for name in names if ".dist-info/" not in name} - module
    if held != expected or len(module) != 1 or len(licences) != 1:
        raise SystemExit(
            f"versions: {wheel.name} lacks {sorted(expected - held)}; too much: {sorted(held - expected)}; "
            f"native modules: {sorted(module)}; licences: {sorted(licences)}"
        )
    print(f"{wheel.name}: {len(held)} files of ours, the native module and the licence")


def constraints(choice: str, folder: Path) -> list[str | Path]:
    """pip's options for a choice of versions."""
    if choice == "pinned":
        return ["-c", ROOT / "constraints.txt"]
    if choice == "newest":
        return []
    # pip cannot ask for the lowest. Only wheels: nobody should have to compile SciPy to try a bound.
    oldest = folder / "oldest.txt"
    resolve = [BIN / "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-build"]
    resolve += ["--resolution", "lowest-direct", "--all-extras", "--python", sys.executable]
    run([*resolve, "--output-file", oldest, "pyproject.toml"])
    return ["-c", oldest]


def without_compiler(environment: Path) -> dict[str, str]:
    """The environment variables of a machine with nothing but this environment's programs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SCTD_", "PYTHON"))}
    return {**kept, "PATH": str(environment / "bin"), "CC": "/bin/false", "CXX": "/bin/false"}


def main_job(environment: Path, folder: Path) -> None:
    """What the README promises, short."""
    alone = without_compiler(environment)
    run([environment / "bin" / "sctd", "doctor"], folder, alone)
    generate = [environment / "bin" / "sctd", "generate", "--prior", "embedded", "--steps", "20"]
    run([*generate, "--out", "run", "--", "a red mushroom"], folder, alone)
    for name in ("asset.ply", "turntable.mp4", "contact.png", "asset.html"):
        if not (folder / "run" / name).stat().st_size:
            raise SystemExit(f"versions: {name} is empty")


def tests(environment: Path, folder: Path) -> None:
    """The tests of every dependency, away from the sources, so that it is the wheel which they import."""
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs", folder / "docs")  # whose numbers a test compares with the settings
    shutil.copy(ROOT / "pyproject.toml", folder)
    chosen = dict.fromkeys(f"tests/{name}" for names in TESTS.values() for name in names)
    command = [environment / "bin" / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    # An old library may warn of a new one, and a new one of its own plans: that breaks nobody's run.
    backends = {"SCTD_REQUIRE_BACKENDS": "cpu"}
    run([*command, "-W", "default", *chosen], folder, {**without_compiler(environment), **backends})


def main(arguments: Sequence[str]) -> None:
    """See the module's docstring."""
    if len(arguments) != 1 or arguments[0] not in ("pinned", "oldest", "newest"):
        raise SystemExit("usage: python tools/versions.py pinned|oldest|newest")
    choice = arguments[0]
    wheel = wheel_of_this_python()
    check_contents(wheel)
    with tempfile.TemporaryDirectory(prefix=f"sctd-{choice}-") as name:
        folder = Path(name)
        environment = folder / "environment"
        run([sys.executable, "-m", "venv", environment])
        what = [wheel] if choice == "pinned" else [f"{wheel}[{','.join(EXTRAS)}]", *BESIDE]
        pip = [environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
        run([*pip, "install", "--quiet", *constraints(choice, folder), *what])
        run([*pip, "list"])
        main_job(environment, folder)
        if choice != "pinned":
            tests(environment, folder)
    print(f"versions: {choice}: all is well")


if __name__ == "__main__":
    main(sys.argv[1:])
