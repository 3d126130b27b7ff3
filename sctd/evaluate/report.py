"""Scores of many runs: one row a run, and by method the means with their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sctd.cameras import orbit_cameras
from sctd.errors import InputError
from sctd.evaluate.clip import VIEWS, Clip, scores
from sctd.evaluate.intervals import Estimate, estimate
from sctd.evaluate.recognition import weights_of
from sctd.evaluate.t3bench import Reward, quality
from sctd.formats.assets import Asset, read_asset
from sctd.render import render_images
from sctd.run.folder import asset_of
from sctd.run.read_back import Run, read_run


@dataclass(frozen=True)
class Metric:
    """A metric and its meaning."""

    meaning: str
    higher_is_better: bool | None = True
    """None: neither is better."""
    digits: int = 3
    """Decimals in tables."""


METRICS = {
    "iou": Metric("IoU with the true silhouettes, 0..1"),
    "psnr": Metric("PSNR against the true views, dB", digits=1),
    "azimuth": Metric(
        "views nearest to the truth at their own azimuth (45 degrees), kinds with a front, 0..1"
    ),
    "kind": Metric("views whose kind the recogniser names, 0..1"),
    "color": Metric("views whose colour the recogniser names, 0..1"),
    "traits": Metric("what the prompt says beside the kind, as the recogniser names it in the views, 0..1"),
    "both": Metric("views whose kind and colour it names, 0..1"),
    "consistency": Metric("pairs of views that the recogniser gives the same kind and colour, 0..1"),
    "edge": Metric(
        "silhouette's pixels at the gamut's edge, less the truth's, -1..1; above 0: too saturated",
        higher_is_better=None,
    ),
    "chroma": Metric(
        "mean chroma of the silhouette's pixels, less the truth's, -1..1; above 0: too colourful",
        higher_is_better=None,
    ),
    "clip": Metric("CLIP score, 100 x cosine of view and prompt", digits=1),
    "r_precision": Metric("CLIP R-precision: views nearest to their own prompt, 0..1"),
    "janus": Metric("azimuths off the front where CLIP says front view, 0..1", higher_is_better=False),
    "t3": Metric("T3Bench quality, unscaled, in the reward model's unit"),
}
"""Every number, in the order of tables."""


@dataclass(frozen=True)
class Judges:
    """The judges, loaded once; runs of the embedded prior also have the procedural truth."""

    clip: Clip | None = None
    distractors: Sequence[str] = ()
    """Prompts for R-precision."""
    reward: Reward | None = None

    def say_what_is_cut(self, prompts: Sequence[str], say: Callable[[str], None]) -> None:
        """Prompts whose ends do not count: scores cut long texts, as published scores do."""
        for option, judge in (("--clip", self.clip), ("--reward", self.reward)):
            if judge is not None and (cut := judge.cut(prompts)):
                say(
                    f"{option} does not read {len(cut)} of {len(prompts)} prompts to the end, first: {cut[0]}"
                )


@dataclass(frozen=True)
class Row:
    """The scores of one run."""

    folder: str
    """Its folder, or the file in it that was scored."""
    method: str
    """Of the run; with the name of the file, where one was given."""
    prompt: str
    seed: int
    scores: dict[str, float]
    iterations: int
    evaluations: int | None
    seconds: float | None

    @property
    def key(self) -> tuple[str, int]:
        """Prompt and seed, by which rows of two methods are paired."""
        return self.prompt, self.seed


@dataclass
class Report:
    """All rows, and the prompts without one."""

    rows: list[Row]
    missing: list[str] = field(default_factory=list)
    """Prompts of the suite without a run."""

    def metrics(self) -> list[str]:
        """Names of the measured metrics, in the order of tables."""
        return [name for name in METRICS if any(name in row.scores for row in self.rows)]

    def summary(self) -> dict[str, dict[str, Estimate]]:
        """Method => metric => mean over prompts and seeds, for the measured metrics."""
        found: dict[str, dict[str, Estimate]] = {}
        for method in dict.fromkeys(row.method for row in self.rows):
            groups = {name: by_prompt(self.of(method), name) for name in self.metrics()}
            found[method] = {name: estimate(values) for name, values in groups.items() if values}
        return found

    def differences(self, baseline: str) -> dict[str, dict[str, Estimate]]:
        """Other method => metric => method less baseline, paired by the prompts and seeds that both have."""
        own = {row.key: row for row in self.of(baseline)}
        found: dict[str, dict[str, Estimate]] = {}
        for method in dict.fromkeys(row.method for row in self.rows if row.method != baseline):
            pairs = [(row, own[row.key]) for row in self.of(method) if row.key in own]
            found[method] = {}
            for name in self.metrics():
                groups: dict[str, list[float]] = {}
                for row, base in pairs:
                    if name in row.scores and name in base.scores:
                        groups.setdefault(row.prompt, []).append(row.scores[name] - base.scores[name])
                if groups:
                    found[method][name] = estimate(groups)
        return found

    def of(self, method: str) -> list[Row]:
        """The rows of one method."""
        return [row for row in self.rows if row.method == method]

    def as_json(self) -> dict[str, Any]:
        """For a file: the meaning of the numbers, means with intervals, every run."""
        return {
            "metrics": {name: asdict(METRICS[name]) for name in self.metrics()},
            "interval": "95%, bootstrap over prompts and their seeds",
            "summary": {m: {k: asdict(e) for k, e in found.items()} for m, found in self.summary().items()},
            "missing": self.missing,
            "runs": [asdict(row) for row in self.rows],
        }

    def text(self) -> str:
        """A table for people, a line a method; with the meaning of the columns below it."""
        names = self.metrics()
        lines = [["method", "prompts", "runs", *names]]
        for method, found in self.summary().items():
            own = self.of(method)
            cells = [found[n].text(METRICS[n].digits) if n in found else "-" for n in names]
            lines.append([method, str(len({row.prompt for row in own})), str(len(own)), *cells])
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        table = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        notes = [f"{n}: {meaning(n)}" for n in names]
        return "\n".join([*table, "", *notes, "[...]: 95%, bootstrap over prompts and their seeds"])


def meaning(name: str) -> str:
    """The meaning of a metric, and whether low is good."""
    metric = METRICS[name]
    return metric.meaning + ("; low is good" if metric.higher_is_better is False else "")


def verdict(name: str, difference: Estimate, baseline: str) -> str:
    """The verdict on the baseline from a paired difference of a metric, other method less baseline."""
    sign = difference.sign()
    if sign is None:
        return "too few prompts to tell"
    if sign == 0:
        return "no difference seen"
    if METRICS[name].higher_is_better is None:
        return f"{baseline} is {'lower' if sign > 0 else 'higher'}"
    return f"{baseline} is {'worse' if (sign > 0) == METRICS[name].higher_is_better else 'better'}"


def by_prompt(rows: Sequence[Row], name: str) -> dict[str, list[float]]:
    """A metric's values of the rows that have it, prompt by prompt."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if name in row.scores:
            found.setdefault(row.prompt, []).append(row.scores[name])
    return found


def evaluate(
    places: Sequence[Path],
    judges: Judges,
    suite: Sequence[str] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Score finished runs.

    Args:
        places: folders of runs, whose results are scored, or other files of assets in such folders.
        suite: score only runs of these prompts, and name the prompts without one.

    Raises:
        InputError: a run is not finished, none is left to score, or nothing can judge one.
    """
    runs = {place: read_run(place.parent if place.is_file() else place) for place in places}
    if suite is not None:
        runs = {place: run for place, run in runs.items() if run.config.prompt in suite}
    if not runs:
        raise InputError("none of the runs has a prompt of the suite; `sctd suite NAME` prints them")
    for run in runs.values():
        _refuse_unfinished(run)
        _refuse_unjudged(run, judges)
    have = {run.config.prompt for run in runs.values()}
    judges.say_what_is_cut(sorted(have), say)
    rows = []
    for number, (place, run) in enumerate(runs.items(), 1):
        say(f"{number}/{len(runs)} {place}")
        rows.append(score_run(run, judges, place if place.is_file() else None))
    return Report(rows, [prompt for prompt in suite or () if prompt not in have])


def _refuse_unfinished(run: Run) -> None:
    if not run.finished:
        raise InputError(
            f"the run in {run.folder} is not finished: {len(run.rows)} of {run.config.iterations} iterations "
            "are done; continue with --resume, or leave it out"
        )


def _refuse_unjudged(run: Run, judges: Judges) -> None:
    if weights_of(run.config.prior.name) is None and judges.clip is None and judges.reward is None:
        raise InputError(
            f"nothing to score {run.folder} with: only runs of the embedded prior have a procedural truth; "
            "give --clip FOLDER"
        )


def score_run(run: Run, judges: Judges, file: Path | None = None) -> Row:
    """All scores of one finished run that the judges can give; empty if no judge fits its prior.

    Args:
        file: a file of an asset to score instead of the run's result.
    """
    place = file or asset_of(run.folder)
    assert place is not None, "the run is finished"
    asset, config = read_asset(place), run.config
    found: dict[str, float] = {}
    weights = weights_of(config.prior.name)
    if weights is not None:
        found |= truth_scores(asset, config.prompt, weights)
    if judges.clip is not None:
        found |= _clip_scores(asset, run, judges.clip, judges.distractors)
    if judges.reward is not None:
        found["t3"] = quality(asset, config.prompt, judges.reward)
    return Row(
        folder=str(file or run.folder),
        method=f"{config.method}, {file.name}" if file else config.method,
        prompt=config.prompt,
        seed=config.seed,
        scores=found,
        iterations=config.iterations,
        evaluations=run.evaluations,
        seconds=run.seconds,
    )


def truth_scores(asset: Asset, prompt: str, weights: Path) -> dict[str, float]:
    """Of an asset of embedded weights; what the prompt does not ask for has no score."""
    from sctd.embedded.recogniser import load_recogniser
    from sctd.embedded.truth import score
    from sctd.embedded.world import world_of

    subject = world_of(weights).check_prompt(prompt)
    found = asdict(score(asset, subject, load_recogniser(weights)))
    told = {name: found[name] for name in METRICS if found.get(name) is not None}
    return {name: float(value) for name, value in told.items() if name != "azimuth" or subject.has_front}


def _clip_scores(asset: Asset, run: Run, clip: Clip, distractors: Sequence[str]) -> dict[str, float]:
    o = run.config.output
    cameras = orbit_cameras(VIEWS, o.elevation_deg, o.radius, math.degrees(o.fovy_rad), clip.image_size)
    images = render_images(asset, cameras, run.config.output.background)
    told = asdict(scores(clip, images, run.config.prompt, distractors))
    return {name: value for name, value in told.items() if value is not None}
