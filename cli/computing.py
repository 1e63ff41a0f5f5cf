"""``axonloom compute``: would batches run where the configuration says, and settings saved under a name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from cli import exit_codes
from cli.options import AsJson, ConfigFile, On, Overrides, with_place
from cli.running import complaints, configuration_of, console, sentences

#: What a worker imports to run a batch.
MODULES = ("tasks.run_batch", "prefect_dask")

compute_app = typer.Typer(help="Where batches run: check it, save it, list what is saved.", no_args_is_help=True)


@compute_app.command("check")
def check(
    config: ConfigFile = None,
    overrides: Overrides = None,
    on: On = None,
    limit: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How long a job may take to start, and then to end.")
    ] = 120.0,
    as_json: AsJson = False,
) -> None:
    """Run a tiny job on each profile: does it start, see the workspace, have the same axonloom, see its GPU, reach the flow?

    Nothing is left behind. Exit code 2 when a profile would not work.
    """
    configuration = configuration_of(config, with_place(overrides, on))
    # Only here: Prefect takes seconds to import, and bad input should not.
    from blocks.check import check as find_out
    from blocks.compute import resolved
    from deployments.running import running_api

    with sentences(), server_sentences():
        settings = configuration.compute
        if settings.block is not None:
            from deployments.server import prefect_server

            with prefect_server():
                settings = resolved(settings)
        reports = find_out(settings, configuration.workspace, limit, running_api(), MODULES)
    if as_json:
        print(json.dumps([report.as_dict() for report in reports]))
    else:
        for report in reports:
            facts = (
                [f"node {report.node}", f"Python {report.python}", f"axonloom {report.version}"] if report.node else []
            )
            facts += [report.gpu] if report.gpu else []
            facts += [f"started after {report.seconds_to_start} s"] if report.seconds_to_start is not None else []
            state = "good" if report.problem is None else f"problem: {report.problem}"
            console.print(f"{report.profile:>5}  {state}", markup=False)
            if facts:
                console.print(f"       {', '.join(facts)}", markup=False)
            if report.log:
                console.print(f"       the end of the job's output:\n{report.log}", markup=False)
    if any(report.problem for report in reports):
        raise typer.Exit(exit_codes.BAD_INPUT)


@compute_app.command("save")
def save(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower case letters, digits and dashes.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
) -> None:
    """Save the compute section of a configuration on the Prefect server, for `--on block/NAME` and compute.block."""
    configuration = configuration_of(config, overrides or [])
    from blocks.compute import save as keep
    from deployments.server import prefect_server

    with sentences(), server_sentences(), prefect_server():
        keep(name, configuration.compute)
    console.print(f"saved: use it with --on block/{name}, or compute: {{block: {name}}}", markup=False)


@compute_app.command("list")
def saved(as_json: AsJson = False) -> None:
    """The names under which compute settings are saved on the Prefect server."""
    from blocks.compute import saved_names
    from deployments.server import prefect_server

    with sentences(), server_sentences(), prefect_server():
        names = saved_names()
    if as_json:
        print(json.dumps(names))
        return
    if not names:
        console.print(
            "nothing is saved yet: axonloom compute save NAME CONFIG saves the compute section of a configuration"
        )
    for name in names:
        console.print(name, markup=False)


@contextmanager
def server_sentences() -> Iterator[None]:
    """A server that does not answer is a sentence; running again may help."""
    from deployments.server import ServerError

    try:
        yield
    except ServerError as error:
        complaints.print(f"error: {error}", markup=False, style="red")
        raise typer.Exit(exit_codes.RESUMABLE) from None
