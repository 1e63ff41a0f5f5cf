"""What a piece of work takes: CPU seconds, wall seconds and peak memory, of this process and its children (Linux).

Only the standard library: it is also imported by a peer's own Python.
"""

from __future__ import annotations

import os
import resource
import threading
import time
from pathlib import Path
from types import TracebackType

#: Seconds between two looks at the memory of children.
EVERY = 0.25


class Measured:
    """A context manager around the work; the numbers are there when it ends.

    Attributes
    ----------
    cpu_s : float
        User and system seconds of this process and of all its children and theirs, those that ended and those that live.
    wall_s : float
        Seconds by the clock.
    peak_bytes : int
        The peak of this process's resident memory above what it held at the start, exactly as the kernel keeps it; and the
        largest sum of its children's private memory above what they held at the start, looked at four times a second. What
        a fork shares with its parent is so counted once.
    """

    def __enter__(self) -> Measured:
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
        self._base, self._children_base = peak_bytes(), _children_bytes()
        self._children_peak = self._children_base
        self._over, self._watching = threading.Event(), 0.0
        self._watch = threading.Thread(target=self._watch_children, daemon=True)
        self._watch.start()
        self._cpu, self._wall = cpu_seconds(), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wall_s = time.perf_counter() - self._wall
        cpu = cpu_seconds() - self._cpu
        self._over.set()
        self._watch.join()
        self.cpu_s = cpu - self._watching
        self.peak_bytes = peak_bytes() - self._base + self._children_peak - self._children_base

    def _watch_children(self) -> None:
        while not self._over.wait(EVERY):
            self._children_peak = max(self._children_peak, _children_bytes())
            self._watching = time.thread_time()

    def rates(self, voxels: int) -> dict[str, float]:
        """The numbers, and by voxel."""
        return {
            "cpu_s": round(self.cpu_s, 3),
            "wall_s": round(self.wall_s, 3),
            "peak_bytes": self.peak_bytes,
            "mvox_per_cpu_s": round(voxels / 1e6 / self.cpu_s, 3),
            "mvox_per_s": round(voxels / 1e6 / self.wall_s, 3),
            "peak_bytes_per_voxel": round(self.peak_bytes / voxels, 2),
        }


def cpu_seconds() -> float:
    """User and system seconds of this process and all that descend from it so far."""
    ended = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in ended) + sum(map(cpu_seconds_of, _descendants(os.getpid())))


def cpu_seconds_of(pid: int) -> float:
    """User and system seconds of another process and of its ended children; 0 for one that is gone."""
    try:
        # The name, in parentheses, may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found = list(children.get(pid, []))
    for each in found:
        found += children.get(each, [])
    return found


def peak_bytes() -> int:
    """The most resident memory of this process so far; the figure of ``getrusage`` is taken over from whoever started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def _children_bytes() -> int:
    """Private memory of all descendants."""
    total = 0
    for pid in _descendants(os.getpid()):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return 1024 * total
