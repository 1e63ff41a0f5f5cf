"""Processes in the background, known by a record on disk."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

#: Environment variable of a worker and of all that it starts: unlike that of any other worker.
WORKER = "AXONLOOM_WORKER"


def write_record(path: Path, process: psutil.Process, content: Mapping[str, Any]) -> None:
    """Write down which process it is; nobody else may read it."""
    path.touch(mode=0o600)
    path.write_text(json.dumps({"pid": process.pid, "started": process.create_time(), **content}))


def recorded(path: Path) -> psutil.Process | None:
    """The process of a record, when it still runs; a number that belongs to another process now does not count."""
    try:
        record = json.loads(path.read_text())
        process = psutil.Process(record["pid"])
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
    if abs(process.create_time() - record["started"]) > 1.0 or process.status() == psutil.STATUS_ZOMBIE:
        return None
    return process


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock file, on a disk of this machine, for the time of a ``with`` block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def runs_of(worker: str) -> list[psutil.Process]:
    """Processes of flow runs that a worker started, also when it is gone itself: of this user, and in no Slurm job.

    Parameters
    ----------
    worker : what :data:`WORKER` was for it. A server's URL would not do: other workers, and people, may have runs there
    """
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ() if process.uids().real == os.getuid() else {}
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        of_it = environment.get(WORKER) == worker and "PREFECT__FLOW_RUN_ID" in environment
        if of_it and "SLURM_JOB_ID" not in environment:
            found.append(process)
    return found


def stop_families(processes: Sequence[psutil.Process], grace: float) -> None:
    """End processes and all that they have started: asked first, killed after ``grace`` seconds."""
    family = list({member.pid: member for process in processes for member in _family(process)}.values())
    for member in family:
        _quietly(member.terminate)
    _, alive = psutil.wait_procs(family, timeout=grace)
    # What was started while the others ended.
    for member in {*alive, *(child for old in alive for child in _family(old))}:
        _quietly(member.kill)
    psutil.wait_procs(alive, timeout=5)


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _quietly(action: Any) -> None:
    try:
        action()
    except psutil.NoSuchProcess:
        return
