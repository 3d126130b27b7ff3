"""``sctd doctor``: what this machine can run, and why it cannot run the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_SIGNS = {"ok": "ok ", "off": "off", "bad": "BAD"}


def doctor(
    folder: Annotated[Path, typer.Option("--out", help="Folder that runs would be written to.")] = Path(),
    verify: Annotated[
        bool, typer.Option("--verify", help="Also render with every backend and compare with its definition.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check this machine; exit code 0 when `sctd generate` can run here, 1 when it cannot."""
    from sctd import doctor as machine

    checks = machine.examine(folder) + (machine.verify() if verify else [])
    able = machine.can_run(checks)
    if json:
        from dataclasses import asdict
        from json import dumps

        typer.echo(dumps({"can_run": able, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        for check in checks:
            typer.echo(f"{_SIGNS[check.status]}  {check.name:<18} {check.detail}")
        typer.echo(
            "sctd generate can run here"
            if able
            else "sctd generate cannot run here; see the lines marked BAD"
        )
    if not able:
        raise typer.Exit(1)
