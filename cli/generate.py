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
from sctd.registry import METHODS

from . import inputs
from .failures import FAILED, Interrupted
from .view import WithViewer

if TYPE_CHECKING:
    from sctd.config import Config
    from sctd.pipeline import Reporter


def generate(
    prompt: Annotated[
        str | None,
        typer.Argument(help="What to make, in quotes. May be left out with --resume --out FOLDER."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; must not exist.  [default: runs/PROMPT-seedSEED]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of cameras, noise and first Gaussians.  [default: 0]")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimisation steps.  [default: the preset's]")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Settings to start from: embedded, sd21 or paper.  "
            "[default: sd21 with Stable Diffusion, else embedded]"
        ),
    ] = None,
    card: Annotated[
        str | None,
        typer.Option(help="Settings for a graphics card's memory: 8gb, 12gb, 16gb or 24gb; docs/gpu.md."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings, such as the config.yaml of a run.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="One setting, e.g. cameras.batch=2; may be repeated."
        ),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            help="embedded, analytic, or a Stable Diffusion folder, .safetensors file or hub id.  "
            "[default: Stable Diffusion 2.1 base on a GPU, else embedded]"
        ),
    ] = None,
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
    method: Annotated[
        str | None,
        typer.Option(help=f"Distillation loss: {', '.join(METHODS)}, or an installed one.  [default: sctd]"),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="First Gaussians: ball, sphere, box, shap-e, or a .ply, .splat, .glb, .gltf, .obj or .stl "
            "file.  [default: ball]"
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
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
    """Make a 3D asset from a prompt; prints the path of asset.ply."""
    if view:
        need_viser("--view")
    options: dict[str, Any] = {"seed": seed, "iterations": steps, "method": method, "device": device}
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
        settings = new_settings(prompt, options, preset, config, set_ or [], card=card)
    if not resume:  # a run goes on from its checkpoint, whatever became of the file
        initial.check(settings.gaussians)
    if dry_run:
        typer.echo(settings.to_yaml(), nl=False)
        _show_memory(settings)
        return
    folder = out or inputs.default_folder(settings.prompt, settings.seed)
    _check_folder(folder, resume=resume, overwrite=overwrite)
    with _reporting(folder, view=view) as report:
        typer.echo(_run(settings, folder, report, resume=resume, overwrite=overwrite))
        if isinstance(report, WithViewer):
            report.wait()


@contextmanager
def _reporting(folder: Path, *, view: bool) -> Iterator[Reporter]:
    """Where the run tells how it goes; with a viewer for as long as the block lasts, if that is wanted."""
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
) -> Config:
    """The checked settings of a new run; loads no torch."""
    from sctd.config import load_config

    if prompt is not None:
        prompt = inputs.check_prompt(prompt)
    elif config is None:
        raise InputError('the prompt is missing; for example: sctd generate "a red mushroom"')
    if preset is None and config is None:
        preset = inputs.default_preset(options, overrides, card)
    settings = load_config(preset, config, overrides, card=card, prompt=prompt, **options)
    _check_known(settings)
    return settings


def _settings_of(folder: Path, options: dict[str, Any], overrides: list[str]) -> Config:
    """The settings that a run folder was started with, for --resume without a prompt."""
    from sctd.config import load_config
    from sctd.run.folder import CONFIG, read_config

    read_config(folder)  # says what is wrong in the words of --resume
    settings = load_config(None, folder / CONFIG, overrides, **options)
    _check_known(settings)
    return settings


def _check_known(settings: Config) -> None:
    """Refuse early what the method table or the embedded prior does not know."""
    from sctd import methods
    from sctd.config.prior import ANALYTIC, EMBEDDED
    from sctd.prior.load import sources

    inputs.check_prompt(settings.prompt)  # a config file or --set may have brought it
    methods.check(settings.method)
    if settings.prior.name == EMBEDDED:
        from sctd.embedded.world import check_prompt

        check_prompt(settings.prompt)
    if settings.prior.name != ANALYTIC:
        sources.find(settings.prior)


def _show_memory(settings: Config) -> None:
    """What a run needs on a graphics card, as comments behind the settings."""
    from sctd.config.prior import BUILT_IN

    if settings.prior.name in BUILT_IN:
        return
    from sctd.prior.card_memory import card_dtype, estimate_memory

    for line in estimate_memory(settings, card_dtype(settings)).lines():
        typer.echo(f"# {line}")


def _check_folder(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Find out whether the run folder can be used before torch is loaded."""
    from sctd.run.claims import refuse_held
    from sctd.run.folder import check_target, read_config

    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other; choose one")
    if resume:
        read_config(folder)
        refuse_held(folder)
    else:
        check_target(folder, overwrite=overwrite)
    inputs.check_writable(folder)


def _run(settings: Config, folder: Path, report: Reporter, *, resume: bool, overwrite: bool) -> Path:
    """The long part; returns the path of the asset."""
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
    report.message(
        f"{result.n_gaussians} Gaussians, {result.iterations} iterations, {result.seconds:.0f} s; "
        f"everything is in {result.folder}"
    )
    return Path(result.asset_ply)
