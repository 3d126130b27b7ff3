"""``sctd generate``: from a prompt to a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sctd import initial
from sctd.errors import InputError
from sctd.extras import need_viser

from . import inputs
from .failures import FAILED, Interrupted
from .options import Card, ConfigFile, Device, MethodName, Overrides, Preset, PriorName, Seed, Stages, Steps
from .view import WithViewer

if TYPE_CHECKING:
    from sctd.config import Config
    from sctd.run.report import Reporter


def generate(
    prompt: Annotated[
        str | None,
        typer.Argument(help="What to make, in quotes. May be left out with --resume --out FOLDER."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; must not exist.  [default: runs/PROMPT-seedSEED]")
    ] = None,
    seed: Seed = None,
    steps: Steps = None,
    stages: Stages = None,
    preset: Preset = None,
    card: Card = None,
    config: ConfigFile = None,
    set_: Overrides = None,
    prior: PriorName = None,
    lora: Annotated[
        list[str] | None,
        typer.Option("--lora", metavar="PATH[:WEIGHT]", help="LoRA (.safetensors); may be repeated."),
    ] = None,
    textual_inversion: Annotated[
        list[str] | None,
        typer.Option(
            "--textual-inversion",
            metavar="PATH[:WORD]",
            help="Textual inversion (.safetensors); may be repeated.",
        ),
    ] = None,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Compile the UNet with torch.compile: slow to start.")
    ] = False,
    method: MethodName = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="First Gaussians: ball, sphere, box, shap-e, or a .ply, .splat, .glb, .gltf, .obj or .stl "
            "file.  [default: ball]"
        ),
    ] = None,
    device: Device = None,
    progress_every: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Keep views every N iterations, and progress.mp4 of them."),
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the losses at the end, losses.png.")] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write events for TensorBoard to tensorboard/.")
    ] = False,
    mesh: Annotated[
        bool, typer.Option("--mesh", help="Write mesh.glb too, a textured mesh; needs sctd[mesh].")
    ] = False,
    view: Annotated[
        bool, typer.Option("--view", help="Watch it grow in the browser; needs sctd[view].")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the settings and stop.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing run folder.")] = False,
) -> None:
    """Make a 3D asset from a prompt; prints the path of asset.ply, or of a mesh, asset.glb."""
    if view:
        need_viser("--view")
    options: dict[str, Any] = {"seed": seed, "iterations": steps, "method": method, "device": device}
    options["stages"] = stages
    options["prior"] = inputs.prior_options(prior, lora, textual_inversion, compile_)
    options["output"] = inputs.given(
        progress_every=progress_every,
        plot=plot or None,
        tensorboard=tensorboard or None,
        mesh=mesh or None,
    )
    options["gaussians"] = None if init is None else initial.choice(init)
    if resume and prompt is None and out is not None:
        settings = _settings_of(out, options, set_ or [])
    else:
        settings = new_settings(prompt, options, preset, config, set_ or [], card=card, resume=resume)
    if dry_run:
        typer.echo(settings.to_yaml(), nl=False)
        _show_memory(settings)
        return
    from sctd.preflight import check_place

    folder = out or inputs.default_folder(settings.prompt, settings.seed)
    check_place(settings, folder, resume=resume, overwrite=overwrite)
    with _reporting(folder, view=view) as report:
        typer.echo(_run(settings, folder, report, resume=resume, overwrite=overwrite))
        if isinstance(report, WithViewer):
            report.wait()


@contextmanager
def _reporting(folder: Path, *, view: bool) -> Iterator[Reporter]:
    """The reporter of a run; with ``view`` it runs a viewer for the length of the block."""
    from .progress import reporter

    if view:
        with WithViewer(reporter(), folder) as watched:
            yield watched
    else:
        yield reporter()


def new_settings(
    prompt: str | None,
    options: dict[str, Any],
    preset: str | None,
    config: Path | None,
    overrides: list[str],
    *,
    card: str | None = None,
    resume: bool = False,
) -> Config:
    """The checked settings of a run; loads no torch."""
    from sctd import preflight
    from sctd.config import load_config

    if prompt is not None:
        prompt = preflight.check_prompt(prompt)
    elif config is None:
        raise InputError('the prompt is missing; for example: sctd generate "a red mushroom"')
    if preset is None and config is None:
        preset = inputs.default_preset(options, overrides, card)
    settings = load_config(preset, config, overrides, card=card, prompt=prompt, **options)
    preflight.check_config(settings, resume=resume)
    return settings


def _settings_of(folder: Path, options: dict[str, Any], overrides: list[str]) -> Config:
    """The settings that a run folder was started with, for --resume without a prompt."""
    from sctd import preflight
    from sctd.config import load_config
    from sctd.run.folder import CONFIG, read_config

    read_config(folder)  # its errors speak of --resume
    settings = load_config(None, folder / CONFIG, overrides, **options)
    preflight.check_config(settings, resume=True)
    return settings


def _show_memory(settings: Config) -> None:
    """Print the memory of a run on a graphics card, as comments after the settings."""
    from sctd.config.prior import BUILT_IN

    if settings.prior.name in BUILT_IN:
        return
    from sctd.prior.card_memory import card_dtype, estimate_memory

    for line in estimate_memory(settings, card_dtype(settings)).lines():
        typer.echo(f"# {line}")


def _run(settings: Config, folder: Path, report: Reporter, *, resume: bool, overwrite: bool) -> Path:
    """Run the pipeline; returns the path of the asset."""
    try:
        from sctd import pipeline

        result = pipeline.generate(settings, folder, resume=resume, overwrite=overwrite, report=report)
    except KeyboardInterrupt as exc:
        # With a text, the run has saved a checkpoint and said so.
        raise (typer.Exit(FAILED) if str(exc) else Interrupted("interrupted")) from exc
    made = {"turntable": result.turntable_mp4, "views": result.contact_png, "page": result.page_html}
    made |= {"mesh": result.mesh_glb, "progress": result.progress_mp4, "losses": result.losses_png}
    for what, path in made.items():
        if path is not None:
            report.message(f"{what}: {path}")
    what = f"{result.n_gaussians} Gaussians" if result.asset_ply else "a mesh"
    report.message(
        f"{what}, {result.iterations} iterations, {result.seconds:.0f} s; everything is in {result.folder}"
    )
    return Path(result.asset)
