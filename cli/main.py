"""The command ``axonloom``."""

from __future__ import annotations

import os

# Before torch is imported: its threads would otherwise spin while they wait, and take the cores from other workers.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import typer

from axonloom import __version__
from cli.cleaning import clean
from cli.computing import compute_app
from cli.configuring import config_app, init
from cli.demonstrating import demo
from cli.deploying import deploy, down, up
from cli.evaluating import evaluate
from cli.inferring import infer
from cli.informing import info
from cli.jobs import add_jobs
from cli.models import models_app
from cli.planning import plan
from cli.reporting import report, status
from cli.running import require_terminal_encoding
from cli.submitting import runs, submit
from cli.tools import tools_app
from cli.training import train
from cli.verifying import verify

app = typer.Typer(
    name="axonloom",
    help="Electron-microscopy volumes in, neurons out.",
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context, show: bool = typer.Option(False, "--version", help="Print the version and exit.")
) -> None:
    """Electron-microscopy volumes in, neurons out."""
    if show:
        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


app.command()(demo)
app.command()(init)
add_jobs(app)
app.command()(train)
app.command()(infer)
app.command()(evaluate)
app.command()(status)
app.command()(report)
app.command()(plan)
app.command()(verify)
app.command()(clean)
app.command()(info)
app.command()(deploy)
app.command()(up)
app.command()(down)
app.command()(submit)
app.command()(runs)
app.add_typer(compute_app, name="compute")
app.add_typer(config_app, name="config")
app.add_typer(models_app, name="models")
app.add_typer(tools_app, name="tools")


def main() -> None:
    """Run the command line."""
    require_terminal_encoding()
    app()
