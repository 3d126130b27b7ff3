"""``sctd gallery``: the assets of a batch on one web page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import inputs


def gallery(
    folder: Annotated[Path, typer.Argument(help="Folder of a batch, at work or over.")],
) -> None:
    """Write a page of all contact sheets with search and filters; prints its path. Needs no server."""
    from sctd.batch import gallery as pages

    cards = pages.cards_of(folder)
    inputs.check_new_files([folder / pages.PAGE], overwrite=True)
    typer.echo(pages.write(folder, cards))
