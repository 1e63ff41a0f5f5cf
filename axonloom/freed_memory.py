"""Freed arrays stay with the process for the next block of a stage.

Each block allocates the same arrays anew. By default the C library gives their memory back to the system when a block ends, which
hands it out again page by page and clears each: a sixth of the time of cutting blocks of 128^3 voxels into fragments. What is kept
is given back when no batch has run for a moment: a batch may be a single block, and a worker that waits for long holds nothing.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

#: Parameters of glibc's mallopt.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
#: Free bytes that a process keeps, and from how many bytes on an array has memory of its own (the most that glibc takes).
KEPT, OWN = 128 << 20, 32 << 20
#: Seconds after the last batch.
MOMENT = 0.5


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """What is freed within stays with the process, until none of its threads has been in such a block for a moment."""
    holders = _holders()
    holders.enter()
    try:
        yield
    finally:
        holders.leave()


class _Holders:
    """How many threads of this process keep freed memory now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._entered = 0
        mallopt = _of_c_library("mallopt")
        kept = mallopt is not None and bool(mallopt(M_TRIM_THRESHOLD, KEPT)) and bool(mallopt(M_MMAP_THRESHOLD, OWN))
        # Where it is not glibc, all stays as it is.
        self._trim = _of_c_library("malloc_trim") if kept else None

    def enter(self) -> None:
        with self._lock:
            self._count += 1
            self._entered += 1

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0 and self._trim is not None:
                later = threading.Timer(MOMENT, self._give_back, (self._entered,))
                later.daemon = True
                later.start()

    def _give_back(self, entered: int) -> None:
        """If no thread has entered since."""
        with self._lock:
            idle = self._entered == entered
        if idle and self._trim is not None:
            self._trim(0)


@cache
def _holders() -> _Holders:
    return _Holders()


def _of_c_library(name: str) -> Any:
    """A function of glibc; None elsewhere."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None


def _share_one_heap() -> None:
    """All threads take their memory from one heap: glibc never keeps what is freed of the heaps that it makes for further threads."""
    mallopt = _of_c_library("mallopt")
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


# Before there are further threads: they keep the heap that they begin with.
_share_one_heap()
