"""Options that set up a run, for every command that makes runs: same name, same check, same help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sctd.registry import METHODS

Seed = Annotated[
    int | None, typer.Option(min=0, help="Seed of cameras, noise and first Gaussians.  [default: 0]")
]
Steps = Annotated[int | None, typer.Option(min=1, help="Optimisation steps.  [default: the preset's]")]
Preset = Annotated[
    str | None,
    typer.Option(
        help="Settings to start from: embedded, sd21 or paper.  "
        "[default: sd21 with Stable Diffusion, else embedded]"
    ),
]
Stages = Annotated[
    str | None,
    typer.Option(
        help="Named stages of the run: magic3d or fantasia3d: Gaussians, then a mesh; docs/stages.md."
    ),
]
Card = Annotated[
    str | None,
    typer.Option(help="Settings for a graphics card's memory: 8gb, 12gb, 16gb or 24gb; docs/gpu.md."),
]
ConfigFile = Annotated[
    Path | None, typer.Option(help="YAML file of settings, such as the config.yaml of a run.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting, e.g. cameras.batch=2; may be repeated."),
]
PriorName = Annotated[
    str | None,
    typer.Option(
        help="embedded, analytic, or a Stable Diffusion folder, .safetensors file or hub id.  "
        "[default: Stable Diffusion 2.1 base on a GPU, else embedded]"
    ),
]
MethodName = Annotated[
    str | None,
    typer.Option(help=f"Distillation loss: {', '.join(METHODS)}, or an installed one.  [default: sctd]"),
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")]
