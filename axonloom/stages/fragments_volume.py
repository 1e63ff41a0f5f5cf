"""What the stages that cut affinities into fragments share, whatever the method: their inputs, and the volume that they write."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.geometry import Block, Box, Zyx, chunk_for_blocks
from axonloom.lazy import lazy
from axonloom.stage import Stage, StageError
from axonloom.stages.inputs import open_volume_input
from axonloom.stages.stage_volume import ensure_volume
from axonloom.volumes import Volume, open_volume


class FragmentsStage(Stage):
    """Reads affinities, and perhaps a mask; each block writes its core of ``fragments.zarr`` under provisional ids."""

    @classmethod
    def inputs(
        cls, affinities: Mapping[str, Any], shape: Zyx, mask: Mapping[str, Any] | None, workspace: Path
    ) -> dict[str, Mapping[str, Any]]:
        """The inputs of a plan.

        Raises
        ------
        StageError
            The mask's shape differs from the affinities'.
        """
        if mask is None:
            return {"affinities": affinities}
        found = open_volume_input(mask, workspace).shape
        if found != shape:
            raise StageError(f"volumes.mask has {found} voxels (zyx), the affinities have {shape}: they must agree")
        return {"affinities": affinities, "mask": mask}

    @lazy
    def affinities(self) -> Volume:
        return open_volume_input(self.plan.inputs["affinities"], self.plan.workspace)

    @lazy
    def mask(self) -> Volume | None:
        given = self.plan.inputs.get("mask")
        return open_volume_input(given, self.plan.workspace) if given is not None else None

    @lazy
    def fragments(self) -> Volume:
        return open_volume(str(self.plan.folder / "fragments.zarr"))

    def keep(self, block: Block) -> np.ndarray | None:
        """Where the mask is not 0 in what a block reads (bool); None without a mask."""
        return self.mask.read(block.read) != 0 if self.mask is not None else None

    def prepare(self) -> None:
        grid = self.plan.grid
        ensure_volume(
            self.plan.folder / "fragments.zarr",
            shape=grid.region.shape,
            # Ids are voxel numbers, so half the bytes will do for most volumes.
            dtype=np.uint32 if math.prod(grid.region.shape) < 2**32 else np.uint64,
            chunk=chunk_for_blocks(grid.shape, grid.region.shape),
            voxel_size=self.affinities.voxel_size,
            offset=self.affinities.offset,
            attributes={"axonloom_fingerprint": self.plan.fingerprint},
            quick=True,
        )

    def stored(self, block: Block) -> tuple[Volume, Box]:
        return self.fragments, block.core


def objects_path(folder: Path, block: int) -> Path:
    """Ids and voxels of a block's fragments (:class:`~axonloom.assembly.object_table.ObjectTable`)."""
    return folder / "objects" / f"{block:08d}.parquet"
