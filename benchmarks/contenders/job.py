"""What every contender is given."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from axonloom.evaluation.contingency import ContingencyTable
from axonloom.evaluation.pairing import PredictedZero
from axonloom.evaluation.report import score
from axonloom.geometry import BlockGrid, Zyx
from axonloom.volumes import Volume, open_volume

#: What a labelled voxel predicted as 0 may count as; the scores of the first stand in an entry by themselves.
PREDICTED_ZERO: tuple[PredictedZero, ...] = ("segment", "singletons", "drop")


@dataclass(frozen=True)
class Job:
    """A volume to segment.

    Attributes
    ----------
    folder : Path
        Holds ``affinities.zarr`` (uint8, (3, z, y, x)) and ``labels.zarr``.
    scratch : Path
        An empty folder of this contender's own.
    blocks : (z, y, x)
        Voxels of an axonloom block, and the chunk of the stored volumes.
    large_blocks : (z, y, x)
        Voxels of a block for waterz and volara, which work in larger ones.
    workers : int
    queue : int
        waterz: bins of its queue, 0 for the exact one.
    server_pid : int
        The Prefect server's process.
    volara_python : str or None
        A Python that has volara.
    """

    folder: Path
    scratch: Path
    blocks: Zyx
    large_blocks: Zyx
    workers: int
    queue: int
    server_pid: int
    volara_python: str | None

    @property
    def affinities(self) -> Volume:
        return open_volume(str(self.folder / "affinities.zarr"))

    @property
    def labels(self) -> Volume:
        return open_volume(str(self.folder / "labels.zarr"))

    @property
    def voxels(self) -> int:
        return int(np.prod(self.labels.shape))


class Contender(Protocol):
    """One way to segment."""

    def tune(self, job: Job, thresholds: list[Decimal]) -> dict[Decimal, float]:
        """VOI (bits) at each threshold; untimed."""
        ...

    def measure(self, job: Job, threshold: Decimal) -> dict[str, Any]:
        """What one run at one threshold takes, and its scores."""
        ...


def counted(segmentation: Volume, labels: Volume) -> ContingencyTable:
    """Stored ids against labels, block by block."""
    return ContingencyTable.summed(
        ContingencyTable.of(segmentation.read(block.core), labels.read(block.core))
        for block in BlockGrid(labels.box, (128, 256, 256))
    )


def scored(table: ContingencyTable) -> dict[str, Any]:
    """The scores in all three conventions for a predicted 0."""
    found = {
        zero: {
            "voi": s.voi,
            "voi_split": s.voi_split,
            "voi_merge": s.voi_merge,
            "adapted_rand_error": s.adapted_rand_error,
        }
        for zero, s in ((zero, score(table, zero)) for zero in PREDICTED_ZERO)
    }
    return {**found[PREDICTED_ZERO[0]], "predicted_zero": found}
