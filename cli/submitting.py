"""``axonloom submit`` and ``axonloom runs``: flow runs on a work pool, which go on when the terminal is closed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import httpx
import typer

from axonloom.chain import Chain
from axonloom.config.load import ConfigurationError
from cli import exit_codes
from cli.computing import server_sentences
from cli.jobs import JOBS
from cli.options import AsJson, ConfigFile, On, Overrides, with_place
from cli.running import complaints, configuration_of, console, sentences
from tasks.active_runs import ActiveRun, active_runs, known_api


def submit(
    job: Annotated[str, typer.Argument(metavar="JOB", help=f"One of {', '.join(JOBS)}.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    on: On = None,
    pool: Annotated[
        str,
        typer.Option(metavar="local|slurm", help="The work pool: a process of its worker's machine, or a SLURM job."),
    ] = "local",
    as_json: AsJson = False,
) -> None:
    """Hand a job to the worker of a work pool, print where to watch it, and return; `axonloom status` finds it later.

    Needs a server that stays and a worker (`axonloom up`, or PREFECT_API_URL and `prefect worker start`).
    """
    configuration = configuration_of(config, with_place(overrides, on))
    with sentences():
        if job not in JOBS:
            raise ConfigurationError(f"no job is called {job!r}; there are {', '.join(JOBS)}")
        flow, stages = JOBS[job]
        # What cannot run is said here, not hours later in a queue.
        list(stages(Chain(configuration)))
    from deployments.submit import submit as hand_over

    with sentences(), server_sentences():
        submitted = hand_over(flow.replace("_", "-"), pool, configuration)
    if as_json:
        print(json.dumps({"id": submitted.id, "name": submitted.name, "url": submitted.url, "waits": submitted.waits}))
        return
    console.print(f"{job}: submitted as {submitted.name} ({submitted.id})", markup=False)
    console.print(f"watch it at {submitted.url}", markup=False)
    if submitted.waits is not None:
        complaints.print(submitted.waits, markup=False, style="yellow")


def runs(config: ConfigFile = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """The flow runs that wait or run on a configuration's workspace, whoever started them."""
    configuration = configuration_of(config, overrides or [])
    api = known_api()
    found: list[ActiveRun] = []
    if api is None:
        complaints.print("no Prefect server is configured or runs here (PREFECT_API_URL, `axonloom up`)", markup=False)
    else:
        try:
            found = active_runs(configuration.workspace, api)
        except httpx.HTTPError as error:
            complaints.print(f"error: the Prefect server at {api} does not answer ({error})", markup=False, style="red")
            raise typer.Exit(exit_codes.RESUMABLE) from None
    if as_json:
        print(json.dumps([run.as_dict() for run in found]))
        return
    _print_runs(found)
    if not found and api is not None:
        console.print("no run is at work on this workspace")


def show_runs(workspace: Path) -> None:
    """Print the runs at work on a workspace, where a server answers; nothing where none does."""
    api = known_api()
    if api is None:
        return
    try:
        found = active_runs(workspace, api)
    except httpx.HTTPError:
        # What is done is on disk, and was told; a server may be away.
        return
    _print_runs(found)


def _print_runs(found: Sequence[ActiveRun]) -> None:
    for run in found:
        where = "on a work pool" if run.deployed else "from a command line"
        console.print(f"{run.flow:>14}  {run.state.lower()}, {where}: {run.url}", markup=False)
