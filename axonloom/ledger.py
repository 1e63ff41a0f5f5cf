"""Which blocks of a stage are done: append-only lines beside the data.

Truth about finished work lies here, not in an orchestrator's database. Every batch that starts opens a file of its own
(named by its blocks, host, process and a uuid), so that there are no locks, also on NFS and Lustre, and no line ever follows a
torn one. A block's output is written and synced first; its line comes after, and is synced too: *finished* means that the line
is on disk. A block that is done stays done whatever other lines say, so no clock decides anything.

A line is a JSON object with ``block`` and ``state``: ``started`` (not synced: evidence of what was begun, no promise),
``done``, ``failed`` with the traceback, or ``undone``, which only ``axonloom verify --repair`` writes: output that was found
damaged. It names how many completions it declares void, so that a later one counts again. The first line of a file says who
wrote it, the last one that the writer left in order.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from axonloom.bad_input import BadInputError
from axonloom.durable import sync_folder, write_json
from axonloom.ledger_state import LedgerState, WriterTail

__all__ = ["Ledger", "LedgerError", "LedgerState", "LedgerWriter"]

FORMAT_VERSION = 2
SNAPSHOT = "snapshot.json"
#: Bytes read at once: a large file is never in memory whole.
PIECE = 1 << 24
_OF_BLOCKS = re.compile(r"(\d+)-(\d+)\.")
_UNDONE = "undone."


class LedgerError(BadInputError):
    """A ledger that cannot be read by this version."""


class Ledger:
    """The ledger in a folder (made when the first line is written)."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def void(self) -> None:
        """Delete it: what it speaks of is gone."""
        if self.folder.exists():
            # Renamed first: removing may stop half-way, and what is left must not be taken for a ledger.
            void = self.folder.with_name(f"{self.folder.name}.{uuid.uuid4().hex[:12]}.void")
            self.folder.rename(void)
            shutil.rmtree(void)

    def read(self) -> LedgerState:
        """Everything on disk now: the snapshot, and what each file says beyond it.

        Raises
        ------
        LedgerError
            A newer version of axonloom wrote here.
        """
        return self._read_on(self._read_snapshot())

    def refresh(self, state: LedgerState) -> LedgerState:
        """``state`` with what was written since it was read: for looking again and again, at the cost of what is new.

        The same object, unless the ledger was forgotten meanwhile (its output was deleted): then a new one.
        """
        if state.tails and not state.tails.keys() <= {path.name for path in self._files()}:
            return self.read()
        return self._read_on(state)

    def read_blocks(self, first: int, last: int) -> LedgerState:
        """What the files of batches that touch ``first .. last`` say: never more than :meth:`read` would, and quick.

        For a worker that begins a batch: what others finished of it meanwhile stands in a few files among thousands.
        """
        state = LedgerState()
        for path in self._files():
            named = _OF_BLOCKS.match(path.name)
            touches = named is not None and int(named[1]) <= last and int(named[2]) >= first
            if touches or path.name.startswith(_UNDONE):
                self._read_file(path, state)
        return state

    def writer(self, first: int | None = None, last: int | None = None) -> LedgerWriter:
        """A new file of lines; use it as a context manager, from any number of threads of one process.

        ``first`` and ``last`` say which blocks the lines will speak of, for :meth:`read_blocks`.
        """
        return LedgerWriter(self.folder, "" if first is None or last is None else f"{first:08d}-{last:08d}.")

    def undo(self, blocks: Mapping[int, str]) -> None:
        """Declare blocks not done, with the reason: their output was found damaged or missing.

        What is void are the completions (and failures) that are on disk now. When the blocks are finished again they are done.
        """
        state = self.read()
        with LedgerWriter(self.folder, _UNDONE) as lines:
            for block, why in blocks.items():
                lines.undone(block, state.completions.get(block, 0), state.failures.get(block, 0), why)

    def facts(self) -> Iterator[dict[str, Any]]:
        """The ``done`` lines of all files, whole: what stages noted about each block."""
        for path in self._files():
            with path.open("rb") as file:
                for raw in file:
                    line = _parse(raw)
                    if line is not None and line.get("state") == "done" and raw.endswith(b"\n"):
                        yield line

    def compact(self) -> None:
        """Write a snapshot of all whole lines, so that the next reading only parses what came after.

        The snapshot says how far into each file it goes, so that others may write meanwhile, and takes its name when it is
        whole. The files stay: a snapshot that is lost costs time, never knowledge.
        """
        self.write_snapshot(self.read())

    def write_snapshot(self, state: LedgerState) -> None:
        """The same from a state that was read already."""
        if self.folder.is_dir():
            write_json(self.folder / SNAPSHOT, {"format_version": FORMAT_VERSION, **state.snapshot()}, indent=None)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))

    def _read_on(self, state: LedgerState) -> LedgerState:
        for path in self._files():
            self._read_file(path, state)
        return state

    def _read_file(self, path: Path, state: LedgerState) -> None:
        tail = state.tails.setdefault(path.name, WriterTail())
        try:
            grown = path.stat().st_size > tail.offset
            if not grown and (tail.host or not tail.open):
                return
            with path.open("rb") as file:
                if tail.offset and not tail.host:
                    # A snapshot says who writes only of files with open blocks.
                    tail.name_writer(_parse(file.readline()) or {})
                for raw in _whole_lines(file, tail):
                    line = _parse(raw)
                    if line is None:
                        continue
                    if "format_version" in line:
                        self._require_readable(int(line["format_version"]), path)
                    state.take(line, tail)
        except FileNotFoundError:
            # The ledger is being forgotten, because its output was deleted.
            return

    def _read_snapshot(self) -> LedgerState:
        path = self.folder / SNAPSHOT
        try:
            content = json.loads(path.read_bytes())
            version = int(content["format_version"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # Damaged or absent: the lines have it all.
            return LedgerState()
        self._require_readable(version, path)
        # An older one counts differently; reading all lines is the migration.
        return LedgerState.of_snapshot(content) if version == FORMAT_VERSION else LedgerState()

    @staticmethod
    def _require_readable(version: int, path: Path) -> None:
        if version > FORMAT_VERSION:
            raise LedgerError(
                f"{path} was written by a newer axonloom (ledger format {version}, this one reads up to {FORMAT_VERSION}): "
                "install that version to go on with this workspace"
            )


class LedgerWriter:
    """Appends lines to one new file. Nothing is created before the first line."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self.folder = Path(folder)
        self.prefix = prefix
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

    def undone(self, block: int, completions: int, failures: int, why: str) -> None:
        """Declare void what was finished so far, ``completions`` times. See :meth:`Ledger.undo`."""
        void = {"completions": completions, "failures": failures}
        self._append({"block": block, "state": "undone", "at": time.time(), **void, "why": why}, durable=True)

    def __enter__(self) -> LedgerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._descriptor is not None:
                # Nothing depends on this line, which a full disk may refuse: it tells a block that waits for another try
                # from one that runs.
                with suppress(OSError):
                    _write_all(self._descriptor, {"closed": time.time()})
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
        name = f"{self.prefix}{host}-{pid}-{uuid.uuid4().hex}.jsonl"
        descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        since = psutil.Process().create_time()
        _write_all(
            descriptor,
            {"format_version": FORMAT_VERSION, "host": host, "pid": pid, "process_started": since, "at": time.time()},
        )
        os.fsync(descriptor)
        sync_folder(self.folder)
        return descriptor


def _write_all(descriptor: int, line: Mapping[str, Any]) -> None:
    data = (json.dumps(line) + "\n").encode()
    while data:
        data = data[os.write(descriptor, data) :]


def _whole_lines(file: Any, tail: WriterTail) -> Iterator[bytes]:
    """The lines from ``tail.offset`` on that end, in pieces; the offset follows."""
    file.seek(tail.offset)
    rest = b""
    while piece := file.read(PIECE):
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        for raw in lines:
            tail.offset += len(raw) + 1
            yield raw


def _parse(raw: bytes) -> dict[str, Any] | None:
    """A whole line as an object; None for an empty or a torn one."""
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
