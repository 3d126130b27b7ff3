"""``sctd prior``: train, sample and describe the embedded prior."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sctd.embedded.world import WORLDS, world_named, world_of
from sctd.errors import InputError, SctdError
from sctd.run.claims import Claim, made_folder, refuse_held
from sctd.run.places import check_writable

from . import inputs
from .groups import group
from .progress import say

app = group("The embedded prior: train, sample, truth, words, info, check.")


@app.command()
def train(
    out: Annotated[
        Path, typer.Option(help="Folder for checkpoints, curves and the finished weights.")
    ] = Path("runs/prior"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of scenes, captions, noise and first weights.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing folder.")] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of text encoder and UNet.  [default: the recipe's]")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="Minutes of text encoder and UNet instead, earlier sessions included."),
    ] = None,
    world: Annotated[
        str | None,
        typer.Option(
            help=f"What it learns to draw: {' or '.join(WORLDS)}.  [default: what the shipped weights know]"
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            "--start-from",
            help="Train the text encoder and UNet of this weights folder further, also into another world.",
            exists=True,
        ),
    ] = None,
    vae_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps of the VAE.  [default: the recipe's; with --from none: it is kept]"),
    ] = None,
    blocks: Annotated[
        int | None, typer.Option(min=1, help="Blocks of traced views.  [default: the recipe's]")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of traced views; missing ones are added.  [default: OUT/data]"),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    processes: Annotated[
        int,
        typer.Option(
            min=1, max=64, help="Processes that share out each batch on a CPU; as many as cores is fastest."
        ),
    ] = 1,
) -> None:
    """Train the embedded prior, from nothing or from weights. Takes hours on a CPU."""
    if steps is not None and minutes is not None:
        raise InputError("--steps and --minutes both set the length; give one of them")
    if world is not None:
        world_named(world)
    _check_folder(out, resume=resume, overwrite=overwrite)
    refuse_held(out)
    check_writable(out)
    with Claim(out, say) as claim:
        if not (claim.is_new or resume or overwrite):
            _check_folder(out, resume=resume, overwrite=overwrite)  # another process may have made it
        from sctd.embedded import train as trainer
        from sctd.embedded.training import Length
        from sctd.machine.device import resolve

        recipe = trainer.recipe_for(world, start_from)
        if steps is not None or minutes is not None:
            recipe = replace(recipe, diffusion=Length(steps, minutes))
        if vae_steps is not None:
            recipe = replace(recipe, vae=Length(vae_steps))
        if blocks is not None:
            recipe = replace(recipe, blocks=blocks)
        where = resolve(device)
        typer.echo(trainer.main(out, seed, resume, say, recipe, start_from, data, where, world, processes))


def _check_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Check before the work starts that a training can use the folder."""
    from sctd.run.folder import is_blank  # loads the settings, which --help does without

    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other; choose one")
    if resume and not out.is_dir():
        raise InputError(f"there is no run to resume in {out}; leave --resume out to start one")
    if not (resume or overwrite) and out.is_dir() and not is_blank(out):
        raise InputError(
            f"output folder {out} exists; add --resume to continue, --overwrite to replace it, "
            "or choose another one with --out"
        )


@app.command()
def sample(
    prompt: Annotated[str, typer.Argument(help='For example "a red mushroom, front view".')],
    out: Annotated[Path | None, typer.Option(help="Picture to write.  [default: PROMPT.png]")] = None,
    n: Annotated[int, typer.Option("-n", "--count", min=1, max=256, help="Number of samples.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samples' noise.")] = 0,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Denoising steps.")] = 25,
    guidance: Annotated[float, typer.Option(min=0, max=100, help="Guidance scale, no unit.")] = 4.0,
    views: Annotated[
        int | None,
        typer.Option(
            min=1, max=64, help="Draw each sample from so many sides, one a row, if the weights can."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Weights of `sctd prior train`.  [default: the shipped ones]", exists=True),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing picture.")] = False,
) -> None:
    """Draw a grid of pictures from the embedded prior; prints its path."""
    from sctd.config.prior import PriorSettings
    from sctd.embedded.weights import FOLDER
    from sctd.preflight import check_prompt

    prompt = check_prompt(prompt, PriorSettings(name=str(weights)) if weights else PriorSettings())
    path = _picture_path(prompt, out, overwrite)
    from sctd.embedded.sample import sample_grid

    with made_folder(path.parent):
        sample_grid(prompt, n, seed, steps, guidance, path, views, weights or FOLDER)
    typer.echo(path)


@app.command()
def truth(
    prompt: Annotated[str, typer.Argument(help='For example "a corgi wearing a top hat".')],
    world: Annotated[str, typer.Option(help=f"{' or '.join(WORLDS)}.")] = "rich",
    out: Annotated[Path | None, typer.Option(help="Picture to write.  [default: PROMPT.png]")] = None,
    views: Annotated[int, typer.Option(min=1, max=64, help="Sides, evenly all round.")] = 8,
    size: Annotated[int, typer.Option(min=16, max=1024, help="Of a side, pixels.")] = 128,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing picture.")] = False,
) -> None:
    """Draw what a prompt means in a world, traced and not sampled: needs no weights; prints its path."""
    from sctd.preflight import check_prompt

    prompt = check_prompt(prompt)
    subject = world_named(world).check_prompt(prompt)
    path = _picture_path(prompt, out, overwrite)
    from sctd.embedded.sample import save_grid
    from sctd.embedded.truth import truth_views

    with made_folder(path.parent):
        save_grid(truth_views(subject, views, size)[0], path, min(views, 8))
    typer.echo(path)


def _picture_path(prompt: str, out: Path | None, overwrite: bool) -> Path:
    """Where a picture of a prompt goes; InputError where it cannot."""
    path = out if out is not None else Path(f"{inputs.slug(prompt)}.png")
    if path.suffix.lower() != ".png":
        raise InputError(f"--out must end in .png, got {str(path)!r}")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists; replace it with --overwrite, or choose another name with --out")
    check_writable(path.parent, needed=1 << 20)
    return path


@app.command()
def words(
    world: Annotated[
        str | None,
        typer.Argument(help=f"{' or '.join(WORLDS)}.  [default: what the shipped weights know]"),
    ] = None,
) -> None:
    """List what a prompt may ask of a world: kinds of object, colours, and so on."""
    known = world_of() if world is None else world_named(world)
    _print({sort: ", ".join(names) for sort, names in known.contents().items()})


@app.command()
def info() -> None:
    """Print the model card's facts: what it knows, its size, training and measured accuracy."""
    from sctd import embedded

    _print(embedded.info())


def _print(facts: Mapping[str, str]) -> None:
    """A paragraph each."""
    for name, value in facts.items():
        lines = textwrap.wrap(
            f"{name}: {value}", 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
        typer.echo("\n".join(lines))


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Run folder of a finished `sctd generate`.")],
    at_least: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the views in which kind and colour must be right.")
    ] = 0.75,
) -> None:
    """Show a finished asset to the recogniser; exit code 1 when it does not see the prompt."""
    from sctd.evaluate.recognition import recognise_run

    seen = recognise_run(folder)
    typer.echo(f"asked for: {seen.wanted}")
    for what, names in seen.named.items():
        typer.echo(f"{what} right in {seen.right[what]} of {len(names)} views: {', '.join(names)}")
    if not seen.passes(at_least):
        raise SctdError(
            f"the recogniser does not see {seen.wanted} in {at_least:.0%} of the views; "
            "look at contact.png, or give the run more steps"
        )
