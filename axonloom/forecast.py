"""What a stage would do if it ran now: from its plan, its ledger and what was measured before. Touches nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from axonloom.config.compute import ComputeSettings
from axonloom.free_disk import bytes_needed, free_bytes, output_folder
from axonloom.measured import block_time
from axonloom.stage import StagePlan
from axonloom.stages.layer_stage import current_state
from axonloom.stages.registry import stage_class

#: Memory of a worker process before it has read a voxel: Python, numpy, the compiled kernels; and the cache of chunks.
PROCESS_BYTES = 550_000_000


@dataclass(frozen=True)
class Forecast:
    """What running a stage would take.

    Attributes
    ----------
    blocks, to_run : of the grid, and those that are not done
    bytes_read, bytes_written : by all those blocks; read counts voxels as they are in memory, written as they lie on disk
    free : bytes free where the stage writes
    memory : bytes that one worker needs while it computes the largest block
    block_seconds : of one block on one worker, as measured; None where nothing was
    measured_on : fingerprint (16 digits) of the stage that was measured
    workers : how many blocks run at once, at most
    """

    stage: str
    mip: int | None
    level: int | None
    fingerprint: str
    blocks: int
    to_run: int
    bytes_read: int
    bytes_written: int
    free: int
    memory: int
    block_seconds: float | None
    measured_on: str | None
    workers: int

    @property
    def seconds(self) -> float | None:
        """Expected wall time; None: not known."""
        if self.to_run == 0:
            return 0.0
        if self.block_seconds is None:
            return None
        return self.block_seconds * max(1.0, self.to_run / self.workers)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "seconds": self.seconds}


def forecast(plan: StagePlan, compute: ComputeSettings) -> Forecast:
    """Look ahead at one stage."""
    kind = stage_class(plan.stage)
    n = len(plan.grid)
    to_run = n - int(current_state(plan).done.within(n).sum())
    read_voxels = _read_voxels(plan)
    measured = block_time(plan)
    return Forecast(
        stage=plan.stage,
        mip=plan.parameters.get("mip"),
        level=plan.parameters.get("level"),
        fingerprint=plan.folder.name,
        blocks=n,
        to_run=to_run,
        bytes_read=int(kind.bytes_read * read_voxels * to_run),
        bytes_written=bytes_needed(kind, plan, to_run),
        free=free_bytes(output_folder(plan)),
        memory=int(PROCESS_BYTES + kind.memory_a_voxel(plan) * read_voxels),
        block_seconds=measured.seconds if measured else None,
        measured_on=measured.measured_on if measured else None,
        workers=min(n, workers_of(compute)),
    )


def workers_of(compute: ComputeSettings) -> int:
    """Blocks that run at once, at most."""
    if compute.on != "slurm":
        return compute.workers
    profile = compute.profiles.cpu
    return profile.max_jobs * (profile.workers or profile.cores)


def _read_voxels(plan: StagePlan) -> int:
    """Voxels of the read box of a block in the middle of the grid."""
    size = 1
    for shape, halo, extent in zip(plan.grid.shape, plan.grid.halo, plan.grid.region.shape, strict=True):
        size *= min(extent, shape + 2 * halo)
    return size
