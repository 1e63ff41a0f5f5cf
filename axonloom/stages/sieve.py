"""A mask without its small pieces, or with its small holes filled: counted over the whole volume, changed block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.geometry import Block, BlockGrid
from axonloom.lazy import lazy
from axonloom.masks.pieces import BlockPieces, label_pieces, read_arrays, small_pieces, touching, write_arrays
from axonloom.stage import StagePlan
from axonloom.stages.foreground import MaskVolumeStage
from axonloom.stages.inputs import open_volume_input, stage_folder, stage_input
from axonloom.stages.join import with_upper_neighbours
from axonloom.stages.tool_stage import WorkspaceStage
from axonloom.stages.whole import one_block
from axonloom.volumes import Volume


def sieve_plans(mask: StagePlan, minimum: int, *, holes: bool) -> tuple[StagePlan, ...]:
    """The stages that take from the mask its pieces (or fill its holes) of fewer than ``minimum`` voxels; the last leaves a mask."""
    workspace, grid = mask.workspace, BlockGrid(mask.grid.region, mask.grid.shape)

    def plan(
        stage: type[WorkspaceStage], inputs: dict[str, StagePlan], over: BlockGrid, **parameters: Any
    ) -> StagePlan:
        given = {name: stage_input(source) for name, source in inputs.items()}
        return StagePlan(stage.name, stage.version, parameters, given, over, workspace)

    pieces = plan(PiecesStage, {"mask": mask}, grid, holes=holes)
    touches = plan(TouchesStage, {"pieces": pieces}, grid)
    small = plan(SmallStage, {"pieces": pieces, "touches": touches}, one_block(grid), minimum=minimum)
    sieved = plan(SieveStage, {"mask": mask, "small": small}, grid, holes=holes)
    return pieces, touches, small, sieved


class PiecesStage(WorkspaceStage):
    """Each block: the voxels of its pieces, and their numbers on its outermost planes."""

    name = "pieces"
    version = 1
    voxels_per_second = 2e7
    bytes_read, bytes_written, memory = 0.2, 0.2, 10.0

    @lazy
    def mask(self) -> Volume:
        return open_volume_input(self.plan.inputs["mask"], self.plan.workspace)

    def process(self, block: Block) -> Mapping[str, Any]:
        labels, count = label_pieces((self.mask.read(block.core) != 0) ^ self.plan.parameters["holes"])
        BlockPieces.of(labels, count).write(pieces_path(self.plan.folder, block.index))
        return {"pieces": count}

    def files(self, block: Block) -> list[Path]:
        return [pieces_path(self.plan.folder, block.index)]


class TouchesStage(WorkspaceStage):
    """Each block: which of its pieces lie against which of its lower neighbours'."""

    name = "touches"
    version = 1
    voxels_per_second = 1e8
    bytes_read, bytes_written, memory = 0.4, 0.01, 2.0

    def process(self, block: Block) -> Mapping[str, Any]:
        folder = stage_folder(self.plan.inputs["pieces"], self.plan.workspace)
        own, found = BlockPieces.read(pieces_path(folder, block.index)), {}
        for axis in range(3):
            below = self.plan.grid.neighbour_below(block.index, axis)
            if below is not None:
                lower = BlockPieces.read(pieces_path(folder, below))
                found[f"axis{axis}"] = touching(lower.high[axis], own.low[axis])
        write_arrays(touches_path(self.plan.folder, block.index), **found)
        return {"pairs": sum(map(len, found.values()))}

    def files(self, block: Block) -> list[Path]:
        return [touches_path(self.plan.folder, block.index)]

    def reads(self, name: str, source: StagePlan, blocks: Sequence[int]) -> list[int]:
        """A block looks at its own pieces and at those of its lower neighbours."""
        return with_upper_neighbours(self.plan.grid, blocks)


class SmallStage(WorkspaceStage):
    """All blocks' pieces at once: which are small, those that they are joined with counted in."""

    name = "small"
    version = 1
    voxels_per_second = 1e8
    bytes_read, bytes_written, memory = 0.1, 0.01, 1.0

    def process(self, block: Block) -> Mapping[str, Any]:
        inputs, workspace = self.plan.inputs, self.plan.workspace
        pieces, touches = (stage_folder(inputs[name], workspace) for name in ("pieces", "touches"))
        grid = StagePlan.load(pieces).grid
        voxels = [read_arrays(pieces_path(pieces, index))["voxels"] for index in range(len(grid))]
        joins = []
        for index in range(len(grid)):
            for name, pairs in read_arrays(touches_path(touches, index)).items():
                below = grid.neighbour_below(index, int(name.removeprefix("axis")))
                assert below is not None
                joins.append((below, index, pairs))
        found = small_pieces(voxels, joins, self.plan.parameters["minimum"])
        ends = np.cumsum([0, *map(len, found)])
        write_arrays(small_path(self.plan.folder), ends=ends, small=np.concatenate(found))
        return {"small": int(sum(map(np.count_nonzero, found)))}

    def files(self, block: Block) -> list[Path]:
        return [small_path(self.plan.folder)]


class SieveStage(MaskVolumeStage):
    """Each block: its mask, small pieces turned over."""

    name = "sieve"
    version = 1
    voxels_per_second = 2e7
    bytes_read, bytes_written, memory = 0.2, 0.2, 10.0
    like = "mask"

    @lazy
    def small(self) -> dict[str, np.ndarray]:
        return read_arrays(small_path(stage_folder(self.plan.inputs["small"], self.plan.workspace)))

    def process(self, block: Block) -> Mapping[str, Any]:
        mask = self.source.read(block.core) != 0
        # Numbered as before: a function of the block's voxels alone.
        labels, _ = label_pieces(mask ^ self.plan.parameters["holes"])
        begin, end = self.small["ends"][block.index : block.index + 2]
        return self.left(block, mask ^ self.small["small"][begin:end][labels])


def pieces_path(folder: Path, block: int) -> Path:
    return folder / "pieces" / f"{block:08d}.npz"


def touches_path(folder: Path, block: int) -> Path:
    return folder / "touches" / f"{block:08d}.npz"


def small_path(folder: Path) -> Path:
    return folder / "small.npz"
