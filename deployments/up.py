"""Everything on one machine: a server that stays, the deployments, and a worker of the local pool, all in the background.

``up`` and ``down`` may be called any number of times. The record of the worker lies beside that of the server, in Prefect's
own folder; a process is known by its number and the time it started, so a number that was given to another one is no worker.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import psutil
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.deploy import Deployed, deploy
from deployments.pools import LOCAL
from deployments.processes import WORKER, one_at_a_time, recorded, runs_of, stop_families, write_record
from deployments.server import PATIENCE, ServerError, ServerSettings, SharedServer, healthy

LOCK = "up.lock"
#: Seconds that runs have to finish or drop their blocks when the machine is taken down.
GRACE = 30.0


@dataclass(frozen=True)
class Station:
    """What runs after ``up``.

    Attributes
    ----------
    api : URL of the server
    own_server : whether we started it; else ``PREFECT_API_URL`` named it
    worker : process number of the local pool's worker
    worker_log : its log, with the output of its runs
    deployed : what the server was told
    """

    api: str
    own_server: bool
    worker: int
    worker_log: Path
    deployed: Deployed


@dataclass(frozen=True)
class Taken:
    """What ``down`` stopped.

    Attributes
    ----------
    worker : process number of the worker, None when none ran
    server : URL of the server that stopped, None when none of ours ran, or when jobs still use it
    jobs : processes that use the server still; it stops with the last of them
    """

    worker: int | None
    server: str | None
    jobs: tuple[int, ...]


def up(
    folder: Path, server: ServerSettings | None = None, gpu_slots: int | None = None, runs: int | None = None
) -> Station:
    """Start what does not run yet: the server, the deployments, the worker.

    Parameters
    ----------
    folder : where runs start
    server : how to start the server; None as before, at first with SQLite on loopback
    gpu_slots : as in :func:`deployments.deploy.deploy`
    runs : flow runs that the worker runs at once; None for any number

    Raises
    ------
    ServerError
        The server or the worker does not start; the log is named.
    DeployError
        The folder does not exist.
    """
    shared = SharedServer()
    configured = PREFECT_API_URL.value()
    if configured and not healthy(configured):
        raise ServerError(
            f"no Prefect server answers at {configured} (PREFECT_API_URL): start it, or unset PREFECT_API_URL"
        )
    if configured and server is not None:
        raise ServerError(
            f"PREFECT_API_URL names the server {configured}, which --database, --host and --port cannot change: leave them "
            "away, or unset PREFECT_API_URL"
        )
    with one_at_a_time(shared.folder / LOCK):
        api = configured or shared.stay(server)
        with temporary_settings({PREFECT_API_URL: api}):
            deployed = deploy(folder, gpu_slots)
            worker = _Worker(shared.folder)
            process = worker.ensure(api, deployed.folder, runs)
    return Station(api=api, own_server=not configured, worker=process.pid, worker_log=worker.log, deployed=deployed)


def down() -> Taken:
    """Stop the worker with its runs, and the server unless jobs of the command line still use it.

    Runs get 30 s to finish or drop their blocks; they end as Crashed, and *Retry* goes on where they stopped.
    """
    shared = SharedServer()
    with one_at_a_time(shared.folder / LOCK):
        worker = _Worker(shared.folder).stop()
        url = shared.url()
        jobs = shared.dismiss()
    return Taken(worker=worker, server=None if jobs else url, jobs=tuple(jobs))


class _Worker:
    """The worker of the local pool on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "worker.json"
        self.log = folder / "worker.log"

    def ensure(self, api: str, folder: Path, runs: int | None) -> psutil.Process:
        """The worker that serves this server, started where none runs."""
        process = recorded(self.record)
        if process is not None:
            found = json.loads(self.record.read_text())
            if found["api"] == api and runs in (None, found["runs"]):
                return process
            self.stop()
        # Where a worker was killed, what it has left belongs to the next one.
        wanted = {"api": api, "runs": runs, "id": self._known_as() or uuid.uuid4().hex}
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "prefect",
            "worker",
            "start",
            "--pool",
            LOCAL.name,
            "--type",
            LOCAL.worker.type,
        ]
        if runs is not None:
            command += ["--limit", str(runs)]
        begin = time.time()
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # A script that runs us in the background: the worker would inherit that, and Prefect stops it with SIGINT.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        with self.log.open("ab") as output:
            started = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                env={
                    **os.environ,
                    "PREFECT_API_URL": api,
                    WORKER: wanted["id"],
                    "PYTHONSAFEPATH": "1",
                    "DO_NOT_TRACK": "1",
                },
                start_new_session=True,
            )
        process = psutil.Process(started.pid)
        write_record(self.record, process, wanted)
        give_up = time.monotonic() + PATIENCE
        while not _online(begin):
            if started.poll() is not None or time.monotonic() > give_up:
                self.stop()
                raise ServerError(f"the worker of the pool {LOCAL.name} did not start; its log is {self.log}")
            time.sleep(0.2)
        return process

    def stop(self) -> int | None:
        """Stop the worker and its runs; returns its process number."""
        process = recorded(self.record)
        known_as = self._known_as()
        # Also the runs of a worker that was killed: they go on without it.
        left = runs_of(known_as) if known_as is not None else []
        stop_families([*([process] if process is not None else []), *left], GRACE)
        self.record.unlink(missing_ok=True)
        return process.pid if process is not None else None

    def _known_as(self) -> str | None:
        """What the processes of its runs carry, also when it was killed."""
        try:
            return json.loads(self.record.read_text()).get("id")
        except (FileNotFoundError, ValueError):
            return None


def _online(since: float) -> bool:
    """Whether a worker has reported to the pool since a time."""
    with get_client(sync_client=True) as client:
        workers = client.read_workers_for_work_pool(
            LOCAL.name, worker_filter=WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"]))
        )
    return any(w.last_heartbeat_time is not None and w.last_heartbeat_time.timestamp() >= since for w in workers)
