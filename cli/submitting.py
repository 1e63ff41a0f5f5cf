"""``axonloom submit``: a flow run on a work pool, which goes on when the terminal is closed."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from axonloom.chain import Chain
from axonloom.config.load import ConfigurationError
from cli.computing import server_sentences
from cli.jobs import JOBS
from cli.options import AsJson, ConfigFile, On, Overrides, with_place
from cli.running import complaints, configuration_of, console, sentences


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
        submitted = hand_over(flow, pool, configuration)
    if as_json:
        print(json.dumps({"id": submitted.id, "name": submitted.name, "url": submitted.url, "waits": submitted.waits}))
        return
    console.print(f"{job}: submitted as {submitted.name} ({submitted.id})", markup=False)
    console.print(f"watch it at {submitted.url}", markup=False)
    if submitted.waits is not None:
        complaints.print(submitted.waits, markup=False, style="yellow")
