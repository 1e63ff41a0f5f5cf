"""Processes in the background, known by a record on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil


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


def stop_family(process: psutil.Process, grace: float) -> None:
    """End a process and all that it has started: asked first, killed after ``grace`` seconds."""
    family = _family(process)
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
