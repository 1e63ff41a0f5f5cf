"""What the labels of neighbouring blocks share in the halo that both have labels for: counts, from small files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from axonloom.assembly.halo_slabs import HaloSlabs
from axonloom.assembly.overlap_table import OverlapTable
from axonloom.geometry import Block, BlockGrid
from axonloom.stage import Stage, StageError, StagePlan
from axonloom.stages.inputs import stage_folder, stage_input
from axonloom.stages.join import with_upper_neighbours
from axonloom.stages.label import slabs_path


class OverlapStage(Stage):
    """Each block counts across its three low faces, so that each pair of neighbours is counted once."""

    name = "overlap"
    version = 1
    voxels_per_second = 1e7
    bytes_read, bytes_written, memory = 16.0, 0.1, 60.0

    @classmethod
    def planned(cls, labels: StagePlan) -> StagePlan:
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={},
            inputs={"labels": stage_input(labels)},
            grid=BlockGrid(labels.grid.region, labels.grid.shape),
            workspace=labels.workspace,
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        folder = stage_folder(self.plan.inputs["labels"], self.plan.workspace)
        own = HaloSlabs.read(slabs_path(folder, block.index))
        tables = []
        for axis in range(3):
            below = self.plan.grid.neighbour_below(block.index, axis)
            if below is None:
                continue
            lower, upper = HaloSlabs.read(slabs_path(folder, below)).high[axis], own.low[axis]
            if lower is None or upper is None:
                raise StageError(
                    f"blocks {below} and {block.index} of {folder} are neighbours, but one has no slab there"
                )
            tables.append(OverlapTable.of(lower, upper))
        table = OverlapTable.concatenate(tables)
        table.write(overlaps_path(self.plan.folder, block.index))
        return {"pairs": len(table)}

    def files(self, block: Block) -> list[Path]:
        return [overlaps_path(self.plan.folder, block.index)]

    def reads(self, name: str, source: StagePlan, blocks: Sequence[int]) -> list[int]:
        """A block looks at its own slabs and at those of its lower neighbours."""
        return with_upper_neighbours(self.plan.grid, blocks)


def overlaps_path(folder: Path, block: int) -> Path:
    return folder / "overlaps" / f"{block:08d}.parquet"
