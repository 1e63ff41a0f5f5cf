"""Blocks to batches: a task run costs time of its own, so it carries many blocks.

The cut is fixed when a stage first runs, from the block time that was measured by then, and kept beside its plan: the batches
of a resumed run are those of the first one, whatever the workers, and their cached results are found again.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from math import ceil

from axonloom.durable import write_json
from axonloom.measured import block_time
from axonloom.stage import StagePlan
from axonloom.stages.registry import stage_class

#: Seconds of work that make a task run worth its own cost, also where a server and many workers share slow cores (measured on two:
#: up to 0.4 s on threads, 1 s on a cluster).
SECONDS_PER_BATCH = {"local": 20.0, "dask": 40.0, "slurm": 40.0}
#: Where a stage is short, its batches are halved in number until each takes so many seconds: then it matters little that workers
#: do not end together, and a task run costs up to 0.03 CPU seconds.
LEAST_SECONDS = 0.2
#: Prefect's server loses track of bursts beyond a few thousand task runs.
MOST_BATCHES = 2000
#: Batches come in multiples of this (but in short stages), of sizes that differ by one block at most, so that 2, 4, 8 or 16 workers end together.
EVEN = 16
FORMAT_VERSION = 1
CUT = "batches.json"


@dataclass(frozen=True)
class Batch:
    """Consecutive blocks ``first .. last`` (inclusive) of a stage."""

    number: int
    first: int
    last: int

    @property
    def blocks(self) -> range:
        return range(self.first, self.last + 1)


@dataclass(frozen=True)
class Cut:
    """Into how many batches a stage is cut, and why.

    Attributes
    ----------
    count : batches
    block_seconds : the time of a block that the cut was made for
    basis : where that time is from: the fingerprint (16 digits) of a stage that was measured, or ``assumed``
    """

    count: int
    block_seconds: float
    basis: str


def cut_of(plan: StagePlan, on: str = "local") -> Cut:
    """How a stage is cut, or would be if it began now on ``on`` (local, dask, slurm). Writes nothing."""
    path = plan.folder / CUT
    if path.exists():
        content = json.loads(path.read_text())
        if content["format_version"] == FORMAT_VERSION:
            return Cut(content["count"], content["block_seconds"], content["basis"])
    n = len(plan.grid)
    measured = block_time(plan)
    z, y, x = plan.grid.shape
    seconds = measured.seconds if measured else z * y * x / stage_class(plan.stage).voxels_per_second
    count = ceil(max(1.0, n * seconds / SECONDS_PER_BATCH[on]) / EVEN) * EVEN
    known = measured.most if measured else stage_class(plan.stage).is_even
    while known and count > 2 and n * seconds / count < LEAST_SECONDS:
        count //= 2
    return Cut(min(count, n, MOST_BATCHES), seconds, measured.measured_on if measured else "assumed")


def fix_cut(plan: StagePlan, on: str = "local") -> Cut:
    """The same, kept from now on: later runs of the stage find the batches of this one."""
    cut = cut_of(plan, on)
    if not (plan.folder / CUT).exists():
        write_json(
            plan.folder / CUT,
            {
                "format_version": FORMAT_VERSION,
                "count": cut.count,
                "block_seconds": cut.block_seconds,
                "basis": cut.basis,
            },
        )
    return cut


def batches(plan: StagePlan, cut: Cut | None = None) -> list[Batch]:
    """All batches of a stage, in order."""
    n = len(plan.grid)
    count = min((cut or cut_of(plan)).count, n)
    edges = [n * k // count for k in range(count + 1)]
    return [Batch(k, first, end - 1) for k, (first, end) in enumerate(itertools.pairwise(edges))]
