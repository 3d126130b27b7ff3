"""``sctd``: the table of commands; turns every failure into one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from sctd.machine import environment
from sctd.machine.waiting import considerate
from sctd.run.interrupts import SIGNALS, Interrupts

from . import (
    analyze,
    batch,
    bench,
    compare,
    doctor,
    evaluate,
    export,
    failures,
    gallery,
    generate,
    mesh,
    prior,
    render,
    streams,
    suite,
    view,
)

app = typer.Typer(
    name="sctd",
    help='Text to 3D Gaussian splatting on any machine. Start with: sctd generate "a red mushroom"',
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: loading rich takes longer than all other work of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("generate")(generate.generate)
app.command("batch")(batch.batch)
app.command("render")(render.render)
app.command("view")(view.view)
app.command("export")(export.export)
app.command("mesh")(mesh.mesh)
app.add_typer(prior.app, name="prior")
app.add_typer(bench.app, name="bench")
app.command("analyze")(analyze.analyze)
app.command("compare")(compare.compare)
app.command("evaluate")(evaluate.evaluate)
app.command("gallery")(gallery.gallery)
app.command("suite")(suite.suite)
app.command("doctor")(doctor.doctor)

_debug = False
_interrupts = Interrupts()
"""Of the process, for good; inside it runs have their own."""


def _version(wanted: bool) -> None:
    if wanted:
        from sctd import __version__

        typer.echo(f"sctd {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="SCTD_DEBUG", help="Show the traceback of an error.")
    ] = False,
) -> None:
    global _debug
    _debug = debug
    if not debug:
        # Notices of these libraries (attention backend, missing accelerate) do not concern the person.
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
    elif context.invoked_subcommand != "doctor":  # which reports it instead
        environment.check()
        environment.tell_unknown(lambda line: typer.echo(f"warning: {line}", err=True))


def run(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name); the exit code is returned, never raised."""
    try:
        with considerate():
            result = app(args=list(arguments), prog_name="sctd", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except (Exception, KeyboardInterrupt) as exc:
        _interrupts.hold()  # it ends already
        if _debug:
            traceback.print_exception(exc)
        message, code = failures.explain(exc)
        sys.stderr.write(f"error: {message}\n")
        return code


def main() -> None:
    """Entry point of the console script."""
    result = streams.protect()
    _interrupts.install()
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # a further one, while the first was told
        code = failures.FAILED
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # Python's own ending is no longer to be interrupted
    reason = streams.untold(result)
    if reason is not None:
        code = code or failures.FAILED
    if reason:
        sys.stderr.write(f"error: {reason}\n")
    sys.exit(code)
