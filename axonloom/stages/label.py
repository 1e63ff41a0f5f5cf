"""Each block and its halo segmented alone: labels for the core, and for neighbours what both of them have labels for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.halo_slabs import HaloSlabs, provisional_ids
from axonloom.checksums import voxels_checksum
from axonloom.config.segment import SegmentSettings
from axonloom.geometry import Block, BlockGrid, Box, Zyx, chunk_for_blocks
from axonloom.stage import Stage, StageError, StagePlan
from axonloom.stages.fragment import objects_path
from axonloom.stages.inputs import open_volume_input
from axonloom.stages.stage_volume import ensure_volume
from axonloom.volumes import Volume, open_volume


class LabelStage(Stage):
    """What the methods that segment one block at a time share. What such a stage makes depends on the blocks."""

    version = 1

    @classmethod
    @abstractmethod
    def parameters(cls, settings: SegmentSettings) -> dict[str, Any]:
        """What decides the labels, as plain JSON."""

    @classmethod
    @abstractmethod
    def halo(cls, settings: SegmentSettings) -> Zyx:
        """Voxels that a block is segmented beyond its core."""

    @abstractmethod
    def labels(self, affinities: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """The labels of one read box, uint64 (z, y, x): 1..n, 0 is background."""

    @classmethod
    def planned(
        cls,
        affinities: Mapping[str, Any],
        shape: Zyx,
        mask: Mapping[str, Any] | None,
        settings: SegmentSettings,
        block: Zyx,
        workspace: Path,
    ) -> StagePlan:
        """The plan for affinities of this shape (zyx), which need not be there yet.

        Raises
        ------
        StageError
            The mask's shape differs from the affinities', or neighbouring blocks would share no voxel.
        """
        inputs = {"affinities": affinities}
        if mask is not None:
            found = open_volume_input(mask, workspace).shape
            if found != shape:
                raise StageError(f"volumes.mask has {found} voxels (zyx), the affinities have {shape}: they must agree")
            inputs["mask"] = mask
        grid = BlockGrid(Box.of_shape(shape), block, cls.halo(settings))
        for axis, name in enumerate("zyx"):
            if grid.counts[axis] > 1 and grid.halo[axis] == 0:
                raise StageError(
                    f"segment.{cls.name}.halo is 0 along {name}, where there are {grid.counts[axis]} blocks: they would share "
                    f"no voxel to be joined by; give a halo of at least 1 there, or blocks of all {shape[axis]} voxels"
                )
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters=cls.parameters(settings),
            inputs=inputs,
            grid=grid,
            workspace=workspace,
        )

    @cached_property
    def affinities(self) -> Volume:
        return open_volume_input(self.plan.inputs["affinities"], self.plan.workspace)

    @cached_property
    def mask(self) -> Volume | None:
        given = self.plan.inputs.get("mask")
        return open_volume_input(given, self.plan.workspace) if given is not None else None

    @cached_property
    def fragments(self) -> Volume:
        return open_volume(str(self.plan.folder / "fragments.zarr"))

    def prepare(self) -> None:
        grid = self.plan.grid
        ensure_volume(
            self.plan.folder / "fragments.zarr",
            shape=grid.region.shape,
            dtype=np.uint64,
            chunk=chunk_for_blocks(grid.shape, grid.region.shape),
            voxel_size=self.affinities.voxel_size,
            offset=self.affinities.offset,
            attributes={"axonloom_fingerprint": self.plan.fingerprint},
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        grid = self.plan.grid
        mask = self.mask.read(block.read) != 0 if self.mask is not None else None
        ids, objects = provisional_ids(
            self.labels(self.affinities.read(block.read), mask), block.read, block.core, grid.region.shape
        )
        core = np.ascontiguousarray(ids[block.core.slices_in(block.read)])
        self.fragments.write(block.core, core)
        self.fragments.sync(block.core)
        objects.write(objects_path(self.plan.folder, block.index))
        HaloSlabs.cut(ids, grid, block.index).write(slabs_path(self.plan.folder, block.index))
        return {"labels": len(objects), "voxels_crc32": voxels_checksum(core)}

    def files(self, block: Block) -> list[Path]:
        return [place(self.plan.folder, block.index) for place in (objects_path, slabs_path)]

    def stored(self, block: Block) -> tuple[Volume, Box]:
        return self.fragments, block.core


def slabs_path(folder: Path, block: int) -> Path:
    return folder / "slabs" / f"{block:08d}.parquet"


def released(package: str, method: str) -> str:
    """A package and its version, which decide the labels as much as the settings do.

    Raises
    ------
    StageError
        It is not installed.
    """
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        raise StageError(
            f"segment.method {method} needs the package {package}, which is not installed: pip install {package}"
        ) from None
