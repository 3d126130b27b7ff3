"""``sctd evaluate``: scores of finished runs, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sctd.errors import InputError
from sctd.run.claims import made_folder

from . import inputs
from .progress import say


def evaluate(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders, or folders that hold some, or meshes in them.")
    ],
    clip: Annotated[
        str | None, typer.Option(help="A CLIP for scores, R-precision and Janus: folder or hub id.")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(
            help="Score only runs of this suite's prompts, which are then the distractors of R-precision.  "
            "[default: the runs' own prompts]"
        ),
    ] = None,
    t3bench: Annotated[
        bool, typer.Option("--t3bench", help="T3Bench's quality protocol, 810 views; needs --reward.")
    ] = False,
    reward: Annotated[
        Path | None, typer.Option(help="Folder of the reward model: CLIPModel or BLIP, transformers' layout.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="File for every number.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Score runs: procedural truth (embedded prior), CLIP, T3Bench; means by method with 95% intervals."""
    from sctd import suites
    from sctd.run.read_back import find_results, read_run

    if t3bench and reward is None:
        raise InputError("--t3bench needs --reward FOLDER: no reward model comes with sctd")
    if reward is not None and not t3bench:
        raise InputError("--reward is the judge of --t3bench; add --t3bench")
    places = find_results(runs)
    prompts = None if suite is None else suites.prompts(suite)
    own = list(dict.fromkeys(read_run(p.parent if p.is_file() else p).config.prompt for p in places))
    if json is not None:
        inputs.check_new_files([json], overwrite=overwrite)

    from sctd.evaluate import report
    from sctd.evaluate.clip import Clip
    from sctd.evaluate.t3bench import Reward

    judges = report.Judges(
        clip=None if clip is None else Clip.load(clip),
        distractors=own if prompts is None else prompts,
        reward=None if reward is None else Reward.load(reward),
    )
    found = report.evaluate(places, judges, prompts, say)
    if json is not None:
        from json import dumps

        from sctd.files import whole_file

        with made_folder(json.parent), whole_file(json) as temporary:
            temporary.write_text(dumps(found.as_json(), indent=1) + "\n", encoding="utf-8")
    if found.missing:
        say(f"{len(found.missing)} prompts of the suite have no run, first: {found.missing[0]}")
    typer.echo(found.text())
