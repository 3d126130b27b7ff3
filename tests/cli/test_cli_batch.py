"""``sctd batch`` for real, with the analytic prior: a list, its end, its interruptions, what it refuses."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_outcome import CALL, Outcome, tree

Command = Callable[..., Outcome]

SMALL = [
    *("--prior", "analytic", "--device", "cpu", "--steps", "4", "--assets-in-flight", "2"),
    *("--set=cameras.size=32", "--set=cameras.batch=2", "--set=gaussians.count=60", "--set=output.size=32"),
    *("--set=output.turntable_frames=0", "--set=output.contact_views=2"),
]


@pytest.fixture
def prompts(here: Path) -> Path:
    """Three assets, of which the second asks for what the prior does not know."""
    path = here / "prompts.jsonl"
    path.write_text(
        '{"prompt": "a red ball", "seed": 3}\n'
        '{"prompt": "a dragon"}\n'
        '{"prompt": "a blue box", "name": "box", "method": "sds", "iterations": 6}\n'
    )
    return path


def test_the_mesh_that_a_line_wants_is_listed_below_its_asset(sctd: Command, here: Path) -> None:
    mesh = {"output.mesh": True, "mesh.texture": 64, "mesh.resolution": 16, "mesh.views": 16}
    wish = {
        "prompt": "a red ball",
        "iterations": 2,
        "gaussians.init_opacity": 0.9,
        "mesh.view_size": 64,
        **mesh,
    }
    (here / "p.jsonl").write_text(json.dumps(wish) + '\n{"prompt": "a blue box", "iterations": 2}\n')
    done = sctd("batch", "p.jsonl", "--out", "night", *SMALL)
    assert done.code == 0, done.err
    names = ("a-red-ball-seed0/asset.ply", "a-red-ball-seed0/mesh.glb", "a-blue-box-seed0/asset.ply")
    assert sorted(done.out.splitlines()) == sorted(f"night/{name}" for name in names)


def test_a_list_from_start_to_end(sctd: Command, here: Path, prompts: Path) -> None:
    done = sctd("batch", str(prompts), "--out", "night", *SMALL)
    assert done.code == 1
    assert done.out.splitlines() == ["night/a-red-ball-seed3/asset.ply", "night/box/asset.ply"]
    assert done.err.splitlines()[-1] == "error: 1 of 3 assets failed, the reasons are above"
    assert done.err.splitlines()[-2].startswith("failed: a-dragon-seed0: prompt 'a dragon' has none of")
    assert sorted(path.name for path in (here / "night").iterdir() if path.is_dir()) == [
        "a-red-ball-seed3",
        "box",
    ]

    alone = sctd("generate", "--config", "night/box/config.yaml", "--out", "alone")
    assert alone.code == 0, alone.err
    assert Path("alone/asset.ply").read_bytes() == Path("night/box/asset.ply").read_bytes()

    page = here / sctd("gallery", "night").out.strip()
    assert page == here / "night" / "index.html"
    text = page.read_text(encoding="utf-8")
    assert "2 done, 1 failed" in text
    assert '"box/contact.png"' in text
    assert '<option value="sds">sds (1)</option>' in text

    lines = sctd("batch", "--status", "night").out.splitlines()
    assert lines[0] == "3 assets: 0 queued, 0 running, 2 done, 1 failed; no coordinator running"
    assert lines[1].endswith(" assets an hour")
    assert lines[2].startswith("failed: a-dragon-seed0: ")
    found = json.loads(sctd("batch", "--status", "night", "--json").out)
    assert found["counts"] == {"queued": 0, "running": 0, "done": 2, "failed": 1}
    assert found["seconds_left"] is None

    again = sctd("batch", "--resume", "night")  # a refused prompt is not tried again, nor is anything else
    assert (again.code, again.out) == (1, "")
    assert "--resume night" in sctd("batch", str(prompts), "--out", "night", *SMALL).error_line()


def test_bad_lines_are_all_named_and_nothing_is_begun(sctd: Command, here: Path) -> None:
    (here / "p.jsonl").write_text(
        '{"prompt": "a red ball"}\n{"prompt"\n{"prompt": "b", "name": "../b"}\n{"prompt": "c", "sed": 1}\n'
    )
    done = sctd("batch", "p.jsonl", "--out", "night", *SMALL)
    assert done.code == 2
    starts = ["p.jsonl:2: not JSON", "p.jsonl:3: name '../b'", "p.jsonl:4: unknown setting 'sed'"]
    *problems, last = done.err.splitlines()
    assert [line.startswith(start) for line, start in zip(problems, starts, strict=True)] == [True] * 3
    assert last == "error: p.jsonl: 3 lines cannot be used, nothing was started; correct or remove them"
    assert tree(here) == ["p.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "--status FOLDER"),
        (("p.txt", "--resume", "night"), "give one of"),
        (("p.txt",), "--out is missing"),
        (("none.txt", "--out", "night"), "none.txt"),
        (("p.txt", "--out", "night", "--json"), "--json goes with --status"),
        (("p.txt", "--out", "night", "--assets-in-flight", "0"), "auto or a number in 1..1024"),
        (("p.txt", "--out", "night", "--retries", "-1"), "--retries"),
        (("p.txt", "--out", "night", "--method", "magic"), "sctd"),
        (("p.txt", "--out", "night", "--prior", "/no/such/prior"), "/no/such/prior"),
        (("p.txt", "--out", "p.txt/night"), "p.txt"),
        (("p.txt", "--out", "."), "is not empty"),
        (("--resume", "night", "--seed", "0", "--steps", "5"), "leave out --seed, --steps"),
        (("--resume", "night"), "no batch in night"),
        (("--status", "night"), "no batch in night"),
        (("p.txt", "--out", "file://p.txt/night"), "Not a directory"),
        (("p.txt", "--out", "nonsense://bucket/night"), "Protocol not known: nonsense"),
        (("p.txt", "--out", "night", "--scratch", "fast"), "--scratch goes with a URL"),
        (("memory://none.txt", "--out", "night"), "cannot read memory://none.txt: no such file"),
        (("--resume", "memory://night"), "no batch in memory://night"),
        (("--status", "memory://night"), "no batch in memory://night"),
    ],
)
def test_what_is_refused(sctd: Command, here: Path, arguments: tuple[str, ...], says: str) -> None:
    (here / "p.txt").write_text("a red ball\n")
    done = sctd("batch", *arguments)
    assert done.code == 2
    assert says in done.error_line()
    assert tree(here) == ["p.txt"]


def test_a_disk_that_is_full_in_the_middle(sctd_process: Command, here: Path) -> None:
    """The limit of a file's size lets the manifest pass, and not a checkpoint; then there is room again."""

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, 1_200_000))

    (here / "p.txt").write_text("a red ball\na blue box\n")
    big = [*SMALL, "--set=gaussians.count=9000", "--steps", "1"]
    done = sctd_process("batch", "p.txt", "--out", "night", *big, before=small_files)
    assert (done.code, done.out) == (2, "")
    line = done.err.splitlines()[-1]
    assert line.startswith("error: cannot write to night/")
    assert line.endswith("continue with --resume")
    assert [path for path in tree(here) if "tmp" in path or path.endswith((".ply", ".safetensors"))] == []

    done = sctd_process("batch", "--resume", "night")
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 2


def test_sigterm_saves_and_says_how_to_go_on(sctd_process: Command, here: Path) -> None:
    (here / "p.txt").write_text("a red ball\na blue box\na green cone\n")
    many = [*SMALL, "--steps", "300", "--set=output.checkpoint_every=100000"]
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, "batch", "p.txt", "--out", "night", *many],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "0 of 3 assets over" not in process.stderr.readline():
        assert process.poll() is None
    while not (here / "night" / "a-blue-box-seed0" / "log.jsonl").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, ""), err
    assert "sctd batch --resume night" in err.splitlines()[-1]
    assert len(list((here / "night").glob("*/checkpoints/*.safetensors"))) == 2
    status = sctd_process("batch", "--status", "night")
    assert status.out.startswith("3 assets: 3 queued, 0 running, 0 done, 0 failed")


def test_at_a_url_killed_and_gone_on_with_elsewhere(
    sctd_process: Command, here: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9, and the scratch folder is lost with its machine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    far, many = here / "far" / "night", [*SMALL, "--steps", "40", "--set=output.checkpoint_every=4"]
    asked = f"file://{prompts}"
    assert sctd_process("batch", asked, "--out", "night", *many).code == 1

    command = [sys.executable, "-c", CALL, "batch", asked, "--out", f"file://{far}", *many]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while not list(far.glob("*/checkpoints/0000008.safetensors")):
            assert process.poll() is None
        process.kill()
    (here / "cache").rename(here / "lost")

    done = sctd_process("batch", "--resume", f"file://{far}")
    assert done.code == 1
    names = ["a-red-ball-seed3", "box"]
    assert sorted(done.out.splitlines()) == [f"file://{far}/{name}/asset.ply" for name in names]
    assert f"assets are made in {here}/cache/sctd/batch/" in done.err
    for name in names:
        for file in ("asset.ply", "contact.png"):
            assert (far / name / file).read_bytes() == (here / "night" / name / file).read_bytes()
    status = sctd_process("batch", "--status", f"file://{far}").out
    assert status.startswith("3 assets: 0 queued, 0 running, 2 done, 1 failed; no coordinator running")
    assert sctd_process("gallery", f"file://{far}").out == f"file://{far}/index.html\n"
    assert '"contact": "box/contact.png"' in (far / "index.html").read_text(encoding="utf-8")


def test_a_gallery_of_no_batch_is_refused(sctd: Command, here: Path) -> None:
    line = sctd("gallery", "nowhere").error_line()
    assert "no batch in nowhere" in line
    assert tree(here) == []


def test_ray_is_loaded_by_the_batch_alone(sctd_process: Command, here: Path) -> None:
    """It takes a second, which a refusal or a status need not wait for."""
    (here / "ray.py").write_text("raise SystemExit('loaded')\n")  # the current folder comes first
    for arguments in (["--status", "night"], ["none.txt", "--out", "night"]):
        done = sctd_process("batch", *arguments, "--cluster", "auto")
        assert done.code == 2, done.err
        assert "night" in done.error_line() or "none.txt" in done.error_line()
