"""Fragments to the segmentation: every voxel's provisional id through the lookup table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.lookup_table import LookupTable, relabel
from axonloom.assembly.segment_table import SegmentTable
from axonloom.assembly.segmentation_layer import SegmentationLayer
from axonloom.checksums import voxels_checksum
from axonloom.config.volumes import SegmentationSettings
from axonloom.geometry import Block, BlockGrid, Box, chunk_for_blocks
from axonloom.lazy import lazy
from axonloom.stage import StagePlan
from axonloom.stages.inputs import open_volume_input, stage_folder, stage_input
from axonloom.stages.layer_stage import LayerStage
from axonloom.stages.pool import lookup_path
from axonloom.volumes import Volume
from axonloom.workspace import portable


class ApplyStage(LayerStage):
    name = "apply"
    version = 2
    voxels_per_second = 3e7
    is_even = True
    bytes_read, bytes_written, memory = 8.0, 0.3, 24.0

    @classmethod
    def planned(cls, fragment: StagePlan, pool: StagePlan, layer: str, settings: SegmentationSettings) -> StagePlan:
        """Raises BlockAlignmentError when blocks would share a chunk of the layer, StageError when it can be none."""
        SegmentationLayer.at(layer)
        grid = BlockGrid(fragment.grid.region, fragment.grid.shape)
        chunk = settings.chunk or chunk_for_blocks(grid.shape, grid.region.shape)
        grid.require_chunks(chunk)
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={"layer": portable(layer, fragment.workspace), "chunk": list(chunk)},
            inputs={"fragments": stage_input(fragment), "pool": stage_input(pool)},
            grid=grid,
            workspace=fragment.workspace,
        )

    @lazy
    def fragments(self) -> Volume:
        return open_volume_input(self.plan.inputs["fragments"], self.plan.workspace)

    def table(self, block: int) -> LookupTable:
        """From the ids that a block wrote to segments."""
        return LookupTable.open(lookup_path(stage_folder(self.plan.inputs["pool"], self.plan.workspace), block))

    @lazy
    def output(self) -> Volume:
        return self.layer.volume()

    def prepare(self) -> None:
        z, y, x = self.plan.parameters["chunk"]
        pool = stage_folder(self.plan.inputs["pool"], self.plan.workspace)
        self.layer.create(
            self.plan.fingerprint,
            self.plan.workspace,
            shape=self.plan.grid.region.shape,
            dtype=np.dtype(self.table(0).dtype),
            chunk=(z, y, x),
            voxel_size=self.fragments.voxel_size,
            offset=self.fragments.offset,
            remarks=StagePlan.load(pool).parameters.get("remarks"),
        )
        self.bind()

    def process(self, block: Block) -> Mapping[str, Any]:
        labels = relabel(self.fragments.read(block.core), self.table(block.index))
        # Asked again, as late as can be: this process may have slept since the block began, and lost the layer meanwhile.
        self.permit()
        self.output.write(block.core, labels)
        self.output.sync(block.core)
        self.permit()
        segments = SegmentTable.of(labels, block.core)
        segments.write(segments_path(self.plan.folder, block.index))
        return {"voxels_crc32": voxels_checksum(labels), "segments": len(segments)}

    def files(self, block: Block) -> list[Path]:
        return [segments_path(self.plan.folder, block.index)]

    def stored(self, block: Block) -> tuple[Volume, Box]:
        return self.output, block.core


def segments_path(folder: Path, block: int) -> Path:
    """Size and box of each segment in a block (:class:`~axonloom.assembly.segment_table.SegmentTable`)."""
    return folder / "segments" / f"{block:08d}.parquet"
