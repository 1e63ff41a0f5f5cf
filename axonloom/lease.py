"""Who may write an output that a user named.

Two runs with different parameters can name the same output. A lease beside the output says which run holds it; its token
grows with every claim, and a run looks at the token before each block, so that the holder of a lease that was broken finds out
before it writes. What a stage writes below its own fingerprint needs no lease.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from axonloom.durable import sync_folder, write_json
from axonloom.runner import LeaseLostError

FORMAT_VERSION = 1
#: A holder on another machine that has not renewed for this long (seconds) is taken for dead.
EXPIRES_AFTER = 600.0


class LeaseHeldError(Exception):
    """Another run holds the output."""


@dataclass(frozen=True)
class Lease:
    """A claim on an output.

    Attributes
    ----------
    path : the lease file
    token : grows by one with every claim of this output
    claim_id : unlike that of any other claim, also after the lease file was deleted by hand
    fingerprint : of the stage that may write
    """

    path: Path
    token: int
    claim_id: str
    fingerprint: str
    host: str
    pid: int
    process_started: float
    renewed_at: float

    def require(self) -> None:
        """Raise LeaseLostError unless this claim still stands."""
        require_claim(self.path, self.claim_id)

    def release(self) -> None:
        """Give the output up; its token stays, so that the next claim is a newer one."""
        current = _read(self.path)
        if current is not None and current.claim_id == self.claim_id:
            _write(self, released=True)


def claim(path: Path, fingerprint: str, *, break_lease: bool = False) -> Lease:
    """Take the output whose lease file is ``path`` for the run of stage ``fingerprint``.

    A claim whose process is gone is taken over; so is one that was released. Taking over needs an exclusive file, so two
    processes that try at once do not both succeed.

    Raises
    ------
    LeaseHeldError
        A living run holds it. The message names host, process and how to go on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    guard = path.with_name(path.name + ".claiming")
    with _exclusive(guard):
        current = _read(path)
        if current is not None and not break_lease and _alive(path, current):
            raise LeaseHeldError(
                f"{path.with_suffix('')} is being written by process {current.pid} on {current.host}: wait for it or stop "
                f"it; if it is gone, delete {path} and run again"
            )
        mine = psutil.Process()
        lease = Lease(
            path=path,
            token=1 if current is None else current.token + 1,
            claim_id=uuid.uuid4().hex,
            fingerprint=fingerprint,
            host=socket.gethostname(),
            pid=mine.pid,
            process_started=mine.create_time(),
            renewed_at=time.time(),
        )
        _write(lease)
        return lease


def require_claim(path: Path, claim_id: str) -> None:
    """Raise LeaseLostError unless the claim on disk is this one."""
    current = _read(path)
    if current is None or current.claim_id != claim_id:
        raise LeaseLostError(
            f"{path.with_suffix('')} was claimed by another run; this one may not write it any more and stops"
        )


@contextmanager
def holding(path: Path, fingerprint: str) -> Iterator[Lease]:
    """Claim an output for the time of a ``with`` block, renewing all the while; raises as :func:`claim` does."""
    lease = claim(path, fingerprint)
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(EXPIRES_AFTER / 10):
            try:
                renew(lease)
            except LeaseLostError:
                return
            except OSError:
                # A file system that hiccups: there are nine more tries before the claim is taken for dead.
                continue

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        ended.set()
        keeper.join()
        lease.release()


def renew(lease: Lease) -> None:
    """Say that the holder lives: for holders on other machines, whose processes cannot be seen from here."""
    lease.require()
    os.utime(lease.path)


def _alive(path: Path, lease: Lease) -> bool:
    if json.loads(path.read_text()).get("released"):
        return False
    if lease.host == socket.gethostname():
        if lease.pid == os.getpid():
            return False
        try:
            return abs(psutil.Process(lease.pid).create_time() - lease.process_started) < 1.0
        except psutil.NoSuchProcess:
            return False
    return time.time() - path.stat().st_mtime < EXPIRES_AFTER


def _read(path: Path) -> Lease | None:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    if content.pop("format_version", 1) > FORMAT_VERSION:
        raise LeaseHeldError(f"{path} was written by a newer axonloom: install that version to go on")
    content.pop("released", None)
    return Lease(**{**content, "path": path})


def _write(lease: Lease, *, released: bool = False) -> None:
    content = asdict(lease)
    del content["path"]
    write_json(lease.path, {**content, "format_version": FORMAT_VERSION, "released": released})


class _exclusive:  # noqa: N801 - reads as a statement: with _exclusive(path)
    """A file that only one process can create; one left behind by a crash is taken over after a minute."""

    def __init__(self, path: Path, patience: float = 10.0, stale_after: float = 60.0) -> None:
        self.path, self.patience, self.stale_after = path, patience, stale_after

    def __enter__(self) -> None:
        give_up = time.monotonic() + self.patience
        while True:
            try:
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                sync_folder(self.path.parent)
                return
            except FileExistsError:
                try:
                    stale = time.time() - self.path.stat().st_mtime > self.stale_after
                except FileNotFoundError:
                    continue
                if stale:
                    self.path.unlink(missing_ok=True)
                elif time.monotonic() > give_up:
                    raise LeaseHeldError(
                        f"another run is claiming {self.path.with_suffix('')} just now: try again"
                    ) from None
                else:
                    time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)
