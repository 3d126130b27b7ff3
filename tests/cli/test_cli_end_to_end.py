"""The commands for real, with a prior of random weights: what is written, resumed, refused."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_outcome import CALL, Outcome, tree
from PIL import Image
from tiny import write_folder

Command = Callable[..., Outcome]

# The tiny text encoder reads 24 bytes, so the words of the views must be short.
SMALL = [
    *("--preset", "embedded", "--steps", "4", "--device", "cpu"),
    *("--set", "cameras.size=16", "--set", "gaussians.count=50", "--set", "output.size=32"),
    *(
        "--set",
        "output.turntable_frames=6",
        "--set",
        "output.contact_views=3",
        "--set",
        "output.checkpoint_every=2",
    ),
    *(
        f"--set=views.{view}={word}"
        for view, word in zip(("front", "left", "right", "back", "overhead"), "flrbo", strict=True)
    ),
]
FILES = ["asset.html", "asset.ply", "checkpoints", "config.yaml", "contact.png", "log.jsonl", "turntable.mp4"]


def size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as image:
        return image.size


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("priors") / "tiny")


def test_generate_then_render_then_resume(sctd: Command, here: Path, prior: Path) -> None:
    done = sctd("generate", "red ball", "--prior", str(prior), *SMALL)
    assert done.code == 0, done.err
    assert done.out == "runs/red-ball-seed0/asset.ply\n"
    run = here / "runs" / "red-ball-seed0"
    assert sorted(path.name for path in run.iterdir()) == FILES
    asset = (run / "asset.ply").read_bytes()

    # The same again: refused, then replaced, then resumed where nothing is left to do; always the same asset.
    assert "--overwrite" in sctd("generate", "red ball", "--prior", str(prior), *SMALL).error_line()
    again = sctd("generate", "red ball", "--prior", str(prior), *SMALL, "--overwrite")
    assert again.code == 0, again.err
    assert (run / "asset.ply").read_bytes() == asset
    (run / "asset.ply").unlink()
    resumed = sctd("generate", "--resume", "--out", str(run))
    assert resumed.code == 0, resumed.err
    assert (run / "asset.ply").read_bytes() == asset

    small = ("--size", "24", "--views", "2", "--frames", "4")
    rendered = sctd("render", str(run / "asset.ply"), "--out", "pictures/new", *small)
    assert rendered.code == 0, rendered.err
    assert rendered.out.split() == ["pictures/new/turntable.mp4", "pictures/new/contact.png"]
    assert size_of(here / "pictures" / "new" / "contact.png") == (52, 24)

    # Its own pictures are not replaced unasked.
    assert "--overwrite" in sctd("render", str(run / "asset.ply"), *small).error_line()
    assert sctd("render", str(run / "asset.ply"), *small, "--no-turntable", "--overwrite").code == 0
    assert size_of(run / "contact.png") == (52, 24)


def test_a_run_goes_on_from_any_folder(
    sctd: Command, here: Path, prior: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its prior was named by a relative path."""
    (here / "bb").symlink_to(prior)
    done = sctd("generate", "red ball", "--prior", "bb", *SMALL, "--steps", "2", "--out", "run")
    assert done.code == 0, done.err
    (here / "run" / "asset.ply").unlink()
    monkeypatch.chdir("/")
    done = sctd("generate", "--resume", "--out", str(here / "run"))
    assert (done.code, done.out) == (0, f"{here}/run/asset.ply\n"), done.err


@pytest.mark.parametrize(
    "part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler", "model_index.json"]
)
@pytest.mark.parametrize("fault", ["missing", "damaged"])
def test_damaged_prior(sctd: Command, here: Path, prior: Path, part: str, fault: str) -> None:
    broken = here.parent / "broken"
    shutil.copytree(prior, broken)
    path = broken / part
    if fault == "missing":
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    else:
        for file in [path] if path.is_file() else path.iterdir():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    done = sctd("generate", "red ball", "--prior", str(broken), *SMALL)
    line = done.err.splitlines()[-1]
    assert Outcome(done.code, done.out, line).error_line().startswith(f"error: prior {broken}")
    assert part.partition(".")[0] in line
    assert tree(here) == []


def test_damaged_embedded_weights(
    sctd: Command, here: Path, prior: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sctd.prior.load import sources

    broken = here.parent / "weights"
    shutil.copytree(prior, broken)
    monkeypatch.setattr(sources, "EMBEDDED_FOLDER", broken)
    (file,) = (broken / "unet").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    for _ in range(2):
        done = sctd("generate", "a red ball")
        assert done.code == 2
        assert "unet" in done.err.splitlines()[-1]
        shutil.rmtree(broken, ignore_errors=True)
        broken.mkdir()  # second round: nothing there at all
        (broken / "unet").mkdir()
    assert tree(here) == []


def test_disk_full_in_the_middle(sctd_process: Command, here: Path, prior: Path) -> None:
    """The space for a first look is there, that for a checkpoint is not."""

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, 1_200_000))

    big = ("--set", "gaussians.count=9000", "--steps", "1", "--out", "deep/run")
    done = sctd_process("generate", "red ball", "--prior", str(prior), *SMALL, *big, before=small_files)
    line = done.err.splitlines()[-1]
    assert Outcome(done.code, done.out, line).error_line().startswith("error: cannot write")
    kept = ["checkpoints", "config.yaml", "log.jsonl"]  # an iteration was done, and its line tells of it
    assert tree(here) == ["deep", "deep/run", *(f"deep/run/{name}" for name in kept)]


def test_interrupt_saves_and_says_how_to_go_on(here: Path, prior: Path) -> None:
    many = ("--steps", "100000", "--set", "output.checkpoint_every=100000", "--out", "run")
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, "generate", "red ball", "--prior", str(prior), *SMALL, *many],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = here / "run" / "log.jsonl"
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, ""), err
    assert "--resume --out run" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert len(list((here / "run" / "checkpoints").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("missing.ply",), "not a file"),
        (("damaged.ply",), "damaged.ply"),
        (("damaged.ply", "--size", "5"), "--size"),
        (("damaged.ply", "--elevation", "91"), "--elevation"),
        (("damaged.ply", "--background", "mauve"), "--background"),
        (("damaged.ply", "--background", "1,2,3"), "--background"),
        (("damaged.ply", "--background", "nan,0,0"), "--background"),
        (("damaged.ply", "--no-turntable", "--no-contact"), "nothing to render"),
        ((), "asset"),
    ],
)
def test_render_refuses(sctd: Command, here: Path, arguments: tuple[str, ...], says: str) -> None:
    (here / "damaged.ply").write_text("ply\nnot really")
    assert says in sctd("render", *arguments, "--out", "new/folder").error_line().lower()
    assert tree(here) == ["damaged.ply"]


def test_prior_check_needs_a_finished_run(sctd: Command, here: Path) -> None:
    assert "nothing to resume" in sctd("prior", "check", "missing").error_line()
    from sctd.config import load_config

    (here / "run").mkdir()
    (here / "run" / "config.yaml").write_text(load_config(prompt="a red ball").to_yaml())
    assert "not finished" in sctd("prior", "check", "run").error_line()


def test_prior_sample_refuses_other_names_and_existing_pictures(sctd: Command, here: Path) -> None:
    (here / "a-red-ball.png").write_text("mine")
    assert "--overwrite" in sctd("prior", "sample", "a red ball").error_line()
    assert ".png" in sctd("prior", "sample", "a red ball", "--out", "ball.gif").error_line()
    assert (here / "a-red-ball.png").read_text() == "mine"


def test_prior_train_keeps_what_is_there(sctd: Command, here: Path) -> None:
    (here / "old").mkdir()
    (here / "old" / "mine.txt").write_text("mine")
    assert "--overwrite" in sctd("prior", "train", "--out", "old").error_line()
    assert "no run to resume" in sctd("prior", "train", "--out", "new", "--resume").error_line()
    assert tree(here) == ["old", "old/mine.txt"]


def test_prior_train_starts_in_an_empty_folder(
    sctd: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training itself, which takes hours, is left out."""
    from sctd.embedded import train

    monkeypatch.setattr(train, "main", lambda out, *_: out / "weights")
    (here / "old").mkdir()
    done = sctd("prior", "train", "--out", "old")
    assert done.code == 0, done.err
    assert Path(done.out.strip()) == Path("old/weights")
