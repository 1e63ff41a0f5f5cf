"""One coarser scale of the segmentation, from the scale below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

from axonloom.assembly.pyramid import downsample_labels
from axonloom.checksums import voxels_checksum
from axonloom.geometry import Block, BlockGrid, Box, Zyx
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
        shape = cast(Zyx, tuple(-(-n // f) for n, f in zip(below.grid.region.shape, factor, strict=True)))
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={"layer": below.parameters["layer"], "mip": mip, "factor": list(factor)},
            inputs={"below": stage_input(below)},
            grid=BlockGrid(Box.of_shape(shape), below.grid.shape),
            workspace=below.workspace,
        )

    @cached_property
    def below(self) -> Volume:
        return self.layer.volume(self.plan.parameters["mip"] - 1)

    @cached_property
    def output(self) -> Volume:
        return self.layer.volume(self.plan.parameters["mip"])

    def prepare(self) -> None:
        add_mip(self.below, self.plan.parameters["factor"])
        self.bind()

    def process(self, block: Block) -> Mapping[str, Any]:
        factor = self.plan.parameters["factor"]
        fine = Box(
            start=[a * f for a, f in zip(block.core.origin, factor, strict=True)],
            end=[b * f for b, f in zip(block.core.stop, factor, strict=True)],
        ).clipped(self.below.box)
        labels = downsample_labels(self.below.read(fine), tuple(factor))
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
            fine = source.grid.block(index).core
            coarse = Box(
                start=[a // f for a, f in zip(fine.origin, factor, strict=True)],
                end=[-(-b // f) for b, f in zip(fine.stop, factor, strict=True)],
            )
            found.update(self.plan.grid.blocks_touching(coarse))
        return sorted(found)


def pyramid_factor(voxel_size: tuple[float, float, float] | None) -> Zyx:
    """Factors (z, y, x) of 1 or 2 that bring the voxels nearer to cubes: a thick axis waits until the others catch up."""
    if voxel_size is None:
        return 2, 2, 2
    finest = min(voxel_size)
    return cast(Zyx, tuple(1 if size >= 2 * finest else 2 for size in voxel_size))
