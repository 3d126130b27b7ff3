"""``sctd suite``: the prompts of a named suite, one a line, for other commands to read."""

from __future__ import annotations

from typing import Annotated

import typer


def suite(
    name: Annotated[str | None, typer.Argument(help="A suite's name.  [default: list the names]")] = None,
) -> None:
    """Print a suite's prompts, e.g. for: sctd suite embedded | while read p; do sctd generate "$p"; done"""
    from sctd import suites

    for line in suites.names() if name is None else suites.prompts(name):
        typer.echo(line)
