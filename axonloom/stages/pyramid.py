"""One coarser scale of the segmentation, from the scale below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from axonloom.assembly.pyramid import coarser_box, downsample, downsampled_shape, finer_box
from axonloom.checksums import voxels_checksum
from axonloom.geometry import Block, BlockGrid, Box, Zyx
from axonloom.lazy import lazy
from axonloom.stage import StagePlan
from axonloom.stages.inputs import stage_input
from axonloom.stages.layer_stage import LayerStage
from axonloom.volumes import Volume
from axonloom.volumes.precomputed import add_mip


class PyramidStage(LayerStage):
    name = "pyramid"
    version = 1
    voxels_per_second = 3e6
    bytes_read, bytes_written, memory = 32.0, 0.5, 60.0

    @classmethod
    def planned(cls, below: StagePlan, mip: int, factor: Zyx) -> StagePlan:
        """The plan for ``mip`` over the scale that ``below`` writes, coarser by ``factor`` (z, y, x)."""
        shape = downsampled_shape(below.grid.region.shape, factor)
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={"layer": below.parameters["layer"], "mip": mip, "factor": list(factor)},
            inputs={"below": stage_input(below)},
            grid=BlockGrid(Box.of_shape(shape), below.grid.shape),
            workspace=below.workspace,
        )

    @lazy
    def below(self) -> Volume:
        return self.layer.volume(self.plan.parameters["mip"] - 1)

    @lazy
    def output(self) -> Volume:
        return self.layer.volume(self.plan.parameters["mip"])

    def prepare(self) -> None:
        add_mip(self.below, self.plan.parameters["factor"])
        self.bind()

    def process(self, block: Block) -> Mapping[str, Any]:
        factor = self.plan.parameters["factor"]
        labels = downsample(self.below.read(finer_box(block.core, factor, self.below.box)), factor, "mode")
        # Asked again, as late as can be: this process may have slept since the block began, and lost the layer meanwhile.
        self.permit()
        self.output.write(block.core, labels)
        self.output.sync(block.core)
        self.permit()
        return {"voxels_crc32": voxels_checksum(labels)}

    def stored(self, block: Block) -> tuple[Volume, Box]:
        return self.output, block.core

    def reads(self, name: str, source: StagePlan, blocks: Sequence[int]) -> list[int]:
        """A block reads the finer scale under its core."""
        factor = self.plan.parameters["factor"]
        found: set[int] = set()
        for index in blocks:
            found.update(self.plan.grid.blocks_touching(coarser_box(source.grid.block(index).core, factor)))
        return sorted(found)
