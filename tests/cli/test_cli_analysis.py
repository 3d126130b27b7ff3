"""analyze, compare, evaluate and suite for real, with a prior of random weights; what is refused."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_outcome import Outcome, tree
from judges import write_clip
from tiny import write_folder

from sctd import suites
from sctd.config import load_config
from sctd.embedded.recogniser import RECOGNISER, Recogniser, save_recogniser
from sctd.embedded.weights import FOLDER, write_card
from sctd.embedded.world import world_of
from sctd.evaluate.report import truth_scores
from sctd.initial.start import initialise
from sctd.trainer import random_streams

Command = Callable[..., Outcome]

# The tiny text encoder reads 24 bytes, so the words of the views must be short.
SMALL = [
    *("--preset", "embedded", "--steps", "2", "--device", "cpu"),
    *(
        f"--set={setting}"
        for setting in (
            "cameras.size=16",
            "gaussians.count=50",
            "output.size=32",
            "output.turntable_frames=0",
            "views.front=f",
            "views.left=l",
            "views.right=r",
            "views.back=b",
            "views.overhead=o",
        )
    ),
]


@pytest.fixture(scope="module")
def prior(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("priors") / "tiny")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("judges") / "clip")


def compare(sctd: Command, prior: Path, *more: str) -> Outcome:
    return sctd("compare", "red ball", "--prior", str(prior), *SMALL, "--out", "c", *more)


def test_compare_then_analyze_then_evaluate(sctd: Command, here: Path, prior: Path, clip: Path) -> None:
    done = compare(sctd, prior, "--methods", "sctd, csd", "--seeds", "0,3")
    assert done.code == 0, done.err
    assert done.out == "c/index.html\n"
    runs = ["csd-seed0", "csd-seed3", "sctd-seed0", "sctd-seed3"]
    assert sorted(path.name for path in (here / "c").iterdir()) == sorted(
        [*runs, "curves.png", "index.html", "page.json"]
    )
    again = compare(sctd, prior, "--methods", "sctd,csd", "--seeds", "0,3")
    assert again.code == 0
    assert again.err.count("finished before") == 4
    assert "loading the prior" not in again.err

    drawn = sctd("analyze", "c")
    assert drawn.code == 0, drawn.err
    names = ["curves.png", "histograms.png", "curves.csv", "histograms.csv"]
    assert drawn.out.split() == [f"analysis/{name}" for name in names]
    assert len((here / "analysis" / "curves.csv").read_text().splitlines()) == 1 + 2 * (2 * 2 + 2)
    assert "exists; replace with --overwrite" in sctd("analyze", "c").error_line()
    assert sctd("analyze", "c", "--overwrite").code == 0

    scored = sctd("evaluate", "c", "--clip", str(clip), "--json", "new/scores.json")
    assert scored.code == 0, scored.err
    assert scored.out.splitlines()[0].split() == ["method", "prompts", "runs", "clip", "janus"]
    assert [line.split()[0] for line in scored.out.splitlines()[1:3]] == ["csd", "sctd"]
    data = json.loads((here / "new" / "scores.json").read_text())
    assert len(data["runs"]) == 4
    assert data["summary"]["csd"]["janus"]["values"] == 2


def test_a_failed_run_is_on_the_page_and_the_others_go_on(
    sctd: Command, here: Path, prior: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sctd.methods.csd import Csd

    def breaks(*_: object) -> None:
        raise RuntimeError("bad luck")

    with monkeypatch.context() as patch:
        patch.setattr(Csd, "__call__", breaks)
        done = compare(sctd, prior, "--methods", "csd,sctd")
    assert done.code == 1
    assert done.out == "c/index.html\n"
    assert done.err.splitlines()[-1].startswith(
        "error: 1 of 2 runs failed, first csd-seed0: RuntimeError: bad luck"
    )
    states = [run["status"] for run in json.loads((here / "c" / "page.json").read_text())["runs"]]
    assert states == ["failed", "finished"]

    mended = compare(sctd, prior, "--methods", "csd,sctd")
    assert mended.code == 0, mended.err
    assert mended.err.count("finished before") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("compare", "red ball", "--steps", "2", "--evaluations", "9"), "exclude each other"),
        (("compare", "a red ball", "--methods", "sctd,nothing"), "'nothing' is unknown"),
        (("compare", "a red ball", "--methods", ","), "no method is given"),
        (("compare", "a red ball", "--seeds", "1,x"), "--seeds must be whole numbers"),
        (("compare", "a red ball", "--seeds", "1,1"), "named twice"),
        (("compare", "a bagel"), "does not know 'bagel'"),
        (("compare", "a red ball", "--methods", "sctd", "--evaluations", "1"), "less than one iteration"),
        (("compare", ""), "the prompt is empty"),
        (("analyze", "nowhere"), "nowhere is no folder"),
        (("evaluate", "."), "holds no run"),
        (("evaluate", ".", "--t3bench"), "--t3bench needs --reward FOLDER: no reward model comes with sctd"),
        (("evaluate", ".", "--reward", "x"), "add --t3bench"),
        (("suite", "nothing"), "choose one of: embedded, table1"),
    ],
)
def test_bad_input(sctd: Command, here: Path, arguments: tuple[str, ...], says: str) -> None:
    assert says in sctd(*arguments).error_line()
    assert tree(here) == []


def test_without_matplotlib(sctd: Command, here: Path, prior: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sctd("generate", "red ball", "--prior", str(prior), *SMALL, "--out", "run").code == 0
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else there(name)
    )
    for arguments in (("analyze", "run"), ("compare", "a red ball")):
        assert 'needs matplotlib; run `pip install "sctd[bench]"`' in sctd(*arguments).error_line()
    done = sctd("analyze", "run", "--csv", "new/numbers.csv")
    assert done.code == 0, done.err
    assert done.out.split() == ["new/numbers.csv", "new/numbers-histograms.csv"]
    assert not (here / "analysis").exists()


def test_runs_that_cannot_be_scored_are_refused(sctd: Command, here: Path, prior: Path, clip: Path) -> None:
    assert sctd("generate", "red ball", "--prior", str(prior), *SMALL, "--out", "run").code == 0
    assert "give --clip FOLDER" in sctd("evaluate", "run").error_line()
    assert (
        "none of the runs has a prompt"
        in sctd("evaluate", "run", "--clip", str(clip), "--suite", "table1").error_line()
    )
    (here / "run" / "asset.ply").unlink()
    assert "continue with --resume" in sctd("evaluate", "run", "--clip", str(clip)).error_line()


def test_a_run_of_the_embedded_prior_is_scored_against_the_truth(sctd: Command, here: Path) -> None:
    small = ("--steps", "1", "--set", "output.turntable_frames=0", "--set", "output.contact_views=0")
    first, second, third = suites.prompts("embedded")[:3]
    assert sctd("generate", first, *small).code == 0
    trained = ("--prior", str(FOLDER), "--preset", "embedded")  # as those of `sctd prior train`
    assert sctd("generate", second, *small, *trained).code == 0
    done = sctd("evaluate", "runs", "--suite", "embedded")
    assert done.code == 0, done.err
    assert f"22 prompts of the suite have no run, first: {third}" in done.err
    header, line = (text.split() for text in done.out.splitlines()[:2])
    assert header == [
        "method",
        "prompts",
        "runs",
        "iou",
        "psnr",
        "azimuth",
        "kind",
        "color",
        "traits",
        "both",
        "consistency",
        "edge",
        "chroma",
    ]
    assert line[:3] == ["sctd", "2", "2"]
    checks = [sctd("prior", "check", str(run), "--at-least", "0") for run in (here / "runs").iterdir()]
    told = sorted(check.out.splitlines() for check in checks)
    assert [lines[0] for lines in told] == sorted(f"asked for: {prompt}" for prompt in (first, second))
    for _, *lines in told:
        assert re.match(r"kind right in \d of 8 views: ", lines[0])
        assert all(re.match(r"[a-z]+ right in \d of 8", line) for line in lines)


def test_what_a_rich_prompt_leaves_open_has_no_score(tmp_path: Path) -> None:
    write_card({"world": "rich"}, tmp_path)
    save_recogniser(Recogniser(world_of(tmp_path).questions), tmp_path / RECOGNISER)
    ball = initialise(load_config("embedded", prompt="x").gaussians, random_streams(0)["scene"])
    found = truth_scores(ball, "a robot", tmp_path)
    assert {"iou", "psnr", "azimuth", "kind", "both", "consistency"} < set(found)
    assert not {"color", "traits"} & set(found)
    assert {"color", "traits"} < set(truth_scores(ball, "a red crown on a chair", tmp_path))


def test_suites_are_printed_one_prompt_a_line(sctd: Command) -> None:
    assert sctd("suite").out.split() == ["embedded", "table1"]
    paper = sctd("suite", "table1").out.splitlines()
    assert len(paper) == len(set(paper)) == 40
    assert (paper[0], paper[39]) == ("A cat with a mullet", "A DSLR photo of a shiny beetle")
    assert "Michelangelo style statue of an astronaut" in paper


def test_the_embedded_suite_is_what_the_quality_page_reports(sctd: Command, repository: Path) -> None:
    shown = sctd("suite", "embedded").out.splitlines()
    reported = json.loads((repository / "docs" / "quality.json").read_text())["drawn"]["assets"]
    assert shown == list(dict.fromkeys(row["prompt"] for row in reported))
    assert len(shown) == 24
