"""``axonloom deploy``, ``axonloom up`` and ``axonloom down``: the server, its deployments, and a worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli import exit_codes
from cli.options import AsJson
from cli.running import complaints, console, sentences

Folder = Annotated[
    Path,
    typer.Option(help="Where runs start; relative paths in a form are relative to it.", show_default="this folder"),
]
GpuSlots = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Batches that may use GPUs at once, over all runs. Default: as it is; at first, the GPUs of this machine.",
        show_default=False,
    ),
]


def deploy(folder: Folder = Path(), gpu_slots: GpuSlots = None, as_json: AsJson = False) -> None:
    """Tell the Prefect server all it needs: work pools, blocks, limits, deployments, the watch over dead runs.

    May be run again at any time; what was changed in the browser is kept.
    """
    # Only here, and below: Prefect takes seconds to import, and `--help` should not.
    from deployments.deploy import deploy as tell
    from deployments.server import prefect_server, ui_url

    with sentences(), _server_sentences(), prefect_server() as url:
        deployed = tell(folder, gpu_slots)
    if as_json:
        print(
            json.dumps(
                {
                    "server": url,
                    "folder": str(deployed.folder),
                    "deployments": deployed.deployments,
                    "changes": deployed.changes,
                }
            )
        )
        return
    for what, change in deployed.changes.items():
        console.print(f"{what}: {change}", markup=False)
    console.print(
        f"{len(deployed.deployments)} deployments at {ui_url(url)}/deployments; runs start in {deployed.folder}"
    )


def up(
    folder: Folder = Path(),
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="PostgreSQL for several workers: postgresql+asyncpg://user:password@host/name. Default: SQLite.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on. Default: 127.0.0.1, so that nobody else sees it; Prefect asks for no password.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: 4200.", show_default=False)] = None,
    runs: Annotated[
        int | None, typer.Option(min=1, help="Flow runs at once. Default: any number.", show_default=False)
    ] = None,
    gpu_slots: GpuSlots = None,
    as_json: AsJson = False,
) -> None:
    """Start a Prefect server and a worker on this machine, in the background, with everything deployed.

    Jobs of the command line use this server too, until `axonloom down`.
    """
    from deployments.server import ServerSettings, ui_url
    from deployments.up import up as start

    settings = None
    if (database, host, port) != (None, None, None):
        settings = ServerSettings(database=database, host=host or "127.0.0.1", port=port)
    with sentences(), _server_sentences():
        station = start(folder, settings, gpu_slots, runs)
    if as_json:
        print(
            json.dumps(
                {
                    "server": station.api,
                    "ui": ui_url(station.api),
                    "worker": station.worker,
                    "worker_log": str(station.worker_log),
                    "folder": str(station.deployed.folder),
                    "deployments": station.deployed.deployments,
                }
            )
        )
        return
    console.print(f"server:  {ui_url(station.api)}")
    console.print(f"worker:  process {station.worker} (log: {station.worker_log})")
    console.print(f"folder:  {station.deployed.folder} (relative paths in a form start here)")
    console.print("`axonloom down` stops both; runs go on afterwards with Retry")


def down(as_json: AsJson = False) -> None:
    """Stop what `axonloom up` started: the worker with its runs, then the server."""
    from deployments.server import ui_url
    from deployments.up import down as stop

    with sentences(), _server_sentences():
        taken = stop()
    if as_json:
        print(json.dumps({"worker": taken.worker, "server": taken.server, "jobs": taken.jobs}))
        return
    if taken.worker is None and taken.server is None and not taken.jobs:
        console.print("nothing of `axonloom up` runs")
    if taken.worker is not None:
        console.print(f"stopped the worker (process {taken.worker})")
    if taken.server is not None:
        console.print(f"stopped the server at {ui_url(taken.server)}")
    if taken.jobs:
        numbers = ", ".join(map(str, taken.jobs))
        console.print(f"the server stops with the last job that uses it: process {numbers}")


@contextmanager
def _server_sentences() -> Iterator[None]:
    from deployments.server import ServerError

    try:
        yield
    except ServerError as error:
        complaints.print(f"error: {error}", markup=False, style="red")
        raise typer.Exit(exit_codes.RESUMABLE) from None
