"""Commands that have commands of their own."""

from __future__ import annotations

import typer


def group(about: str) -> typer.Typer:
    """Such a command; alone it prints its help."""

    def help_alone(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    return typer.Typer(help=about, no_args_is_help=False, invoke_without_command=True, callback=help_alone)
