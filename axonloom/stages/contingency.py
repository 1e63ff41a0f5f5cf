"""Fragments against labels, counted block by block: scores at every threshold come from these counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from axonloom.evaluation.contingency import ContingencyTable
from axonloom.geometry import Block, BlockGrid
from axonloom.lazy import lazy
from axonloom.stage import Stage, StageError, StagePlan
from axonloom.stages.inputs import open_volume_input, stage_input
from axonloom.volumes import Volume


class ContingencyStage(Stage):
    name = "contingency"
    version = 1
    voxels_per_second = 2e7
    bytes_read, bytes_written, memory = 16.0, 0.7, 40.0

    @classmethod
    def planned(cls, fragment: StagePlan, labels: Mapping[str, Any]) -> StagePlan:
        """Raises StageError when the labels are no integers or cover other voxels than the fragments."""
        volume = open_volume_input(labels, fragment.workspace)
        if volume.dtype.kind not in "ui":
            raise StageError(f"volumes.labels holds {volume.dtype}; ground truth is integer object ids")
        if volume.shape != fragment.grid.region.shape:
            raise StageError(
                f"volumes.labels has {volume.shape} voxels (zyx), the segmentation has {fragment.grid.region.shape}: they "
                "must agree; volumes.labels.region can cut the labels, and the region of the image or affinities what is segmented"
            )
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={},
            inputs={"fragments": stage_input(fragment), "labels": labels},
            grid=BlockGrid(fragment.grid.region, fragment.grid.shape),
            workspace=fragment.workspace,
        )

    @lazy
    def fragments(self) -> Volume:
        return open_volume_input(self.plan.inputs["fragments"], self.plan.workspace)

    @lazy
    def labels(self) -> Volume:
        return open_volume_input(self.plan.inputs["labels"], self.plan.workspace)

    def process(self, block: Block) -> Mapping[str, Any]:
        table = ContingencyTable.of(self.fragments.read(block.core), self.labels.read(block.core))
        table.write(table_path(self.plan.folder, block.index))
        return {"pairs": len(table)}

    def files(self, block: Block) -> list[Path]:
        return [table_path(self.plan.folder, block.index)]

    def tables(self) -> Iterator[tuple[int, ContingencyTable]]:
        """The counts of each block; all must be done."""
        for b in range(len(self.plan.grid)):
            yield b, ContingencyTable.read(table_path(self.plan.folder, b))


def table_path(folder: Path, block: int) -> Path:
    return folder / "counts" / f"{block:08d}.parquet"
