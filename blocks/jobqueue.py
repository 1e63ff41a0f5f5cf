"""dask-jobqueue's SLURM classes, without what importing them does to the process.

``dask_jobqueue.runner`` (0.9.0) sets a handler for SIGINT when it is imported, so that Ctrl+C would end a flow half-way with exit
code 0, and the import itself would fail on any thread but the main one.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _signals_left_alone() -> Iterator[None]:
    real = signal.signal
    signal.signal = lambda number, handler: signal.getsignal(number)  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = real


with _signals_left_alone():
    from dask_jobqueue.slurm import SLURMCluster, SLURMJob

__all__ = ["SLURMCluster", "SLURMJob"]
