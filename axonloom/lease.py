"""Who may write an output that a user named.

Two runs with different parameters can name the same output. A lease beside the output says which run holds it; its token
grows with every claim, and a run looks at the token before each block, so that the holder of a lease that was broken finds out
before it writes. What a stage writes below its own fingerprint needs no lease.

Who claims is decided by a hard link, which one process alone can make, also on NFS and Lustre: the next token's marker beside the
lease. Nothing has to be unlocked, so a process that is killed half-way blocks nobody: its marker names a dead process, and the next
claim takes the token after it.
"""

from __future__ import annotations

import glob
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from axonloom.durable import make_json_once, write_json
from axonloom.runner import LeaseLostError

FORMAT_VERSION = 1
#: A holder on another machine that has not renewed for this long (seconds) is taken for dead.
EXPIRES_AFTER = 600.0
#: A marker that cannot be read was left by a process that was killed while it wrote; one younger than this may still be written.
UNREADABLE_AFTER = 60.0
#: Claims of this process that stand: of its own ones it knows more than that their process lives.
_STANDING: set[str] = set()


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
        _STANDING.discard(self.claim_id)
        current = _read(self.path)
        if current is not None and current.claim_id == self.claim_id:
            _write(self, released=True)


def claim(path: Path, fingerprint: str, *, break_lease: bool = False) -> Lease:
    """Take the output whose lease file is ``path`` for the run of stage ``fingerprint``.

    A claim whose process is gone is taken over; so is one that was released. Of processes that try at once one succeeds.

    Raises
    ------
    LeaseHeldError
        A living run holds it. The message names host, process and how to go on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = psutil.Process()
    lease = Lease(
        path=path,
        token=0,
        claim_id=uuid.uuid4().hex,
        fingerprint=fingerprint,
        host=socket.gethostname(),
        pid=mine.pid,
        process_started=mine.create_time(),
        renewed_at=time.time(),
    )
    _STANDING.add(lease.claim_id)
    try:
        while True:
            current = _read(path)
            if current is not None and not break_lease:
                _require_dead(path, current)
            marked = _mark(replace(lease, token=1 if current is None else current.token + 1), break_lease)
            if marked is None:
                continue
            # While this process slept between reading and marking, others may have claimed and removed their markers.
            now = _read(path)
            if (now and now.claim_id) == (current and current.claim_id):
                _write(marked)
                marked.require()
                for marker in _markers(path):
                    if _token_of(marker) <= marked.token:
                        marker.unlink(missing_ok=True)
                return marked
            _marker(marked).unlink(missing_ok=True)
    except BaseException:
        _STANDING.discard(lease.claim_id)
        raise


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


def _require_dead(path: Path, lease: Lease) -> None:
    """Raise LeaseHeldError when the run of a claim lives; ``path`` is the file that says so, whose time is renewed."""
    if not _alive(path, lease):
        return
    output = lease.path.with_suffix("")
    raise LeaseHeldError(
        f"{output} is being written by process {lease.pid} on {lease.host}: wait for it or stop it; if it is gone, delete "
        f"{lease.path} and run again"
    )


def _alive(path: Path, lease: Lease) -> bool:
    try:
        if json.loads(path.read_text()).get("released"):
            return False
        written = path.stat().st_mtime
    except FileNotFoundError:
        return False
    if lease.host != socket.gethostname():
        return _now(path.parent) - written < EXPIRES_AFTER
    if lease.pid == os.getpid():
        return lease.claim_id in _STANDING
    try:
        return abs(psutil.Process(lease.pid).create_time() - lease.process_started) < 1.0
    except psutil.NoSuchProcess:
        return False


def _now(folder: Path) -> float:
    """The time by the clock that dates the files of a folder: a file server's need not be that of this machine."""
    probe = folder / f".{uuid.uuid4().hex[:12]}.tmp"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _mark(lease: Lease, break_lease: bool) -> Lease | None:
    """Make the marker of the next free token, from that of ``lease`` on; returns the claim with the token that it got.

    None when another claim came to its end meanwhile, so that all has to be read again.

    Raises
    ------
    LeaseHeldError
        A living process has made the marker, and is about to hold the lease.
    """
    while not make_json_once(_marker(lease), _content(lease)):
        marker = _marker(lease)
        try:
            other = _read(marker)
        except ValueError:
            # Written in place, where links are not to be had: not yet whole, or never to be.
            try:
                age = _now(marker.parent) - marker.stat().st_mtime
            except FileNotFoundError:
                return None
            if age < UNREADABLE_AFTER:
                raise LeaseHeldError(
                    f"another run is claiming {lease.path.with_suffix('')} just now: try again"
                ) from None
        else:
            if other is None:
                return None
            if not break_lease:
                _require_dead(marker, replace(other, path=lease.path))
        lease = replace(lease, token=lease.token + 1)
    return lease


def _marker(lease: Lease) -> Path:
    return lease.path.with_name(f"{lease.path.name}.{lease.token}")


def _markers(path: Path) -> list[Path]:
    return [p for p in path.parent.glob(f"{glob.escape(path.name)}.*") if p.name.rpartition(".")[2].isdecimal()]


def _token_of(marker: Path) -> int:
    return int(marker.name.rpartition(".")[2])


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
    write_json(lease.path, _content(lease, released=released))


def _content(lease: Lease, *, released: bool = False) -> dict[str, Any]:
    content = asdict(lease)
    del content["path"]
    return {**content, "format_version": FORMAT_VERSION, "released": released}
