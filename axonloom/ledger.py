"""Which blocks of a stage are done: append-only lines beside the data.

Truth about finished work lies here, not in an orchestrator's database. Every batch that starts opens a file of its own
(named by host, process and a uuid), so that there are no locks, also on NFS and Lustre, and no line ever follows a torn one.
A block's output is written and synced first; its line comes after, and is synced too: *finished* means that the line is on disk.
A block that is done stays done whatever other lines say, so no clock decides anything.

A line is a JSON object with ``block`` and ``state``: ``started`` (not synced: evidence of what was begun, no promise),
``done``, or ``failed`` with the traceback. The first line of a file says who wrote it.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from axonloom.bad_input import BadInputError
from axonloom.durable import sync_folder, write_json

FORMAT_VERSION = 1
SNAPSHOT = "snapshot.json"


class LedgerError(BadInputError):
    """A ledger that cannot be read by this version."""


@dataclass
class LedgerState:
    """What a ledger says when it is read.

    Attributes
    ----------
    done : set of block indices
    failed : block index -> traceback of the last failure read; never a block that is done
    started : block index -> how often it was begun
    completions : block index -> how often it was finished; more than once means work done twice
    seconds : time spent in finished blocks, summed over workers
    finished_at : unix times of the first and the last finished block, for rates; None when there is none
    """

    done: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)
    started: dict[int, int] = field(default_factory=dict)
    completions: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    finished_at: tuple[float, float] | None = None

    def missing(self, blocks: Iterable[int]) -> list[int]:
        """Those of ``blocks`` that still have to be computed, in the order given."""
        return [b for b in blocks if b not in self.done]

    def _take(self, line: Mapping[str, Any]) -> None:
        block, state = int(line["block"]), line["state"]
        if state == "done":
            self.done.add(block)
            self.failed.pop(block, None)
            self.completions[block] = self.completions.get(block, 0) + 1
            self.seconds += float(line.get("seconds", 0.0))
            at = float(line["at"])
            low, high = self.finished_at or (at, at)
            self.finished_at = min(low, at), max(high, at)
        elif state == "failed" and block not in self.done:
            self.failed[block] = str(line.get("error", ""))
        elif state == "started":
            self.started[block] = self.started.get(block, 0) + 1


class Ledger:
    """The ledger in a folder (made when the first line is written)."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def read(self) -> LedgerState:
        """Everything on disk now: the snapshot, and what each file says beyond it.

        Raises
        ------
        LedgerError
            A newer version of axonloom wrote here.
        """
        state, covered = self._read_snapshot()
        if self.folder.is_dir():
            for path in sorted(self.folder.glob("*.jsonl")):
                try:
                    with path.open("rb") as file:
                        file.seek(covered.get(path.name, 0))
                        content = file.read()
                except FileNotFoundError:
                    # The ledger is being forgotten, because its output was deleted.
                    continue
                for raw in content.split(b"\n"):
                    line = _parse(raw)
                    if line is None:
                        continue
                    if "format_version" in line:
                        self._require_readable(int(line["format_version"]), path)
                    elif "block" in line:
                        state._take(line)
        return state

    def writer(self) -> LedgerWriter:
        """A new file of lines; use it as a context manager, from any number of threads of one process."""
        return LedgerWriter(self.folder)

    def compact(self) -> None:
        """Write a snapshot of all whole lines, so that the next reading only parses what came after.

        The files stay: a snapshot that is lost costs time, never knowledge.
        """
        covered: dict[str, int] = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            content = path.read_bytes()
            covered[path.name] = content.rfind(b"\n") + 1
        state = self.read()
        write_json(
            self.folder / SNAPSHOT,
            {
                "format_version": FORMAT_VERSION,
                "covers": covered,
                "done": _runs(state.done),
                "failed": {str(b): text for b, text in state.failed.items()},
                # Once begun and once done is the rule; only what differs is listed.
                "started": {str(b): n for b, n in state.started.items() if n != 1 or b not in state.done},
                "completions": {str(b): n for b, n in state.completions.items() if n != 1},
                "seconds": state.seconds,
                "finished_at": state.finished_at,
            },
        )

    def _read_snapshot(self) -> tuple[LedgerState, dict[str, int]]:
        path = self.folder / SNAPSHOT
        if not path.exists():
            return LedgerState(), {}
        content = json.loads(path.read_text())
        self._require_readable(int(content["format_version"]), path)
        state = LedgerState(
            failed={int(b): text for b, text in content["failed"].items()},
            seconds=float(content["seconds"]),
            finished_at=tuple(content["finished_at"]) if content["finished_at"] else None,
        )
        for first, last in content["done"]:
            state.done.update(range(first, last + 1))
        state.started = dict.fromkeys(state.done, 1)
        state.started.update((int(b), n) for b, n in content["started"].items())
        state.completions = dict.fromkeys(state.done, 1)
        state.completions.update((int(b), n) for b, n in content["completions"].items())
        return state, dict(content["covers"])

    @staticmethod
    def _require_readable(version: int, path: Path) -> None:
        if version > FORMAT_VERSION:
            raise LedgerError(
                f"{path} was written by a newer axonloom (ledger format {version}, this one reads up to {FORMAT_VERSION}): "
                "install that version to go on with this workspace"
            )


class LedgerWriter:
    """Appends lines to one new file. Nothing is created before the first line."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    def started(self, block: int) -> None:
        self._append({"block": block, "state": "started", "at": time.time()}, durable=False)

    def done(self, block: int, seconds: float, **facts: Any) -> None:
        """Record a finished block. Its output must be synced before this is called."""
        self._append(
            {"block": block, "state": "done", "at": time.time(), "seconds": round(seconds, 4), **facts}, durable=True
        )

    def failed(self, block: int, error: str) -> None:
        self._append({"block": block, "state": "failed", "at": time.time(), "error": error}, durable=True)

    def __enter__(self) -> LedgerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _append(self, line: Mapping[str, Any], *, durable: bool) -> None:
        with self._lock:
            if self._descriptor is None:
                self._descriptor = self._open()
            _write_all(self._descriptor, line)
            if durable:
                os.fsync(self._descriptor)

    def _open(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        host, pid = socket.gethostname(), os.getpid()
        name = f"{host}-{pid}-{uuid.uuid4().hex}.jsonl"
        descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        _write_all(descriptor, {"format_version": FORMAT_VERSION, "host": host, "pid": pid, "at": time.time()})
        os.fsync(descriptor)
        sync_folder(self.folder)
        return descriptor


def _write_all(descriptor: int, line: Mapping[str, Any]) -> None:
    data = (json.dumps(line) + "\n").encode()
    while data:
        data = data[os.write(descriptor, data) :]


def _parse(raw: bytes) -> dict[str, Any] | None:
    """A whole line as an object; None for an empty or a torn one."""
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _runs(blocks: Iterable[int]) -> list[tuple[int, int]]:
    """Sorted runs (first, last) of consecutive indices: a million finished blocks are a few lines."""
    runs: list[tuple[int, int]] = []
    for b in sorted(blocks):
        if runs and runs[-1][1] == b - 1:
            runs[-1] = (runs[-1][0], b)
        else:
            runs.append((b, b))
    return runs
