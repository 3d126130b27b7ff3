"""``sctd gallery``: the assets of a batch on one web page."""

from __future__ import annotations

from typing import Annotated

import typer

from . import inputs


def gallery(
    place: Annotated[
        str,
        typer.Argument(metavar="FOLDER|URL", help="Place of a batch, at work or over."),
    ],
) -> None:
    """Write a page of all contact sheets with search and filters; prints its path. Needs no server."""
    from sctd.batch import gallery as pages
    from sctd.batch.store import is_url, store_at

    store = store_at(place)
    cards = pages.cards_of(store)
    if not is_url(place):
        inputs.check_new_files([store.folder / pages.PAGE], overwrite=True)
    typer.echo(pages.write(store, cards))
