"""Blocks to batches: a task run costs time of its own, so it carries many blocks.

The cut is a fixed function of the stage and its grid, never of the workers, so that the batches of a resumed run are those of
the first one and their cached results are found again.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import ceil

from axonloom.stage import StagePlan
from axonloom.stages.registry import stage_class

#: Work that makes a task run worth its own cost (measured: 4 ms on threads, 150 ms on a cluster).
SECONDS_PER_BATCH = 10.0
#: Prefect's server loses track of bursts beyond a few thousand task runs.
MOST_BATCHES = 2000
#: Batches come in multiples of this, of sizes that differ by one block at most, so that 2, 4, 8 or 16 workers end together.
EVEN = 16


@dataclass(frozen=True)
class Batch:
    """Consecutive blocks ``first .. last`` (inclusive) of a stage."""

    number: int
    first: int
    last: int

    @property
    def blocks(self) -> range:
        return range(self.first, self.last + 1)


def batches(plan: StagePlan) -> list[Batch]:
    """All batches of a stage, in order."""
    n = len(plan.grid)
    z, y, x = plan.grid.shape
    seconds = n * z * y * x / stage_class(plan.stage).voxels_per_second
    count = ceil(max(1.0, seconds / SECONDS_PER_BATCH) / EVEN) * EVEN
    count = min(count, n, MOST_BATCHES)
    edges = [n * k // count for k in range(count + 1)]
    return [Batch(k, first, end - 1) for k, (first, end) in enumerate(itertools.pairwise(edges))]
