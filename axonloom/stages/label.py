"""Each block and its halo segmented alone: labels for the core, and for neighbours what both of them have labels for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.halo_slabs import HaloSlabs, provisional_ids
from axonloom.checksums import voxels_checksum
from axonloom.config.segment import SegmentSettings
from axonloom.geometry import Block, BlockGrid, Box, Zyx
from axonloom.stage import StageError, StagePlan
from axonloom.stages.fragments_volume import FragmentsStage, objects_path


class LabelStage(FragmentsStage):
    """What the methods that segment one block at a time share. What such a stage makes depends on the blocks."""

    version = 2

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
        inputs = cls.inputs(affinities, shape, mask, workspace)
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

    def process(self, block: Block) -> Mapping[str, Any]:
        grid = self.plan.grid
        labels = self.labels(self.affinities.read(block.read), self.keep(block))
        ids, objects = provisional_ids(labels, block.read, block.core, grid.region.shape)
        core = ids[block.core.slices_in(block.read)].astype(self.fragments.dtype)
        self.fragments.write(block.core, core)
        self.fragments.sync(block.core)
        objects.write(objects_path(self.plan.folder, block.index))
        HaloSlabs.cut(ids, grid, block.index).write(slabs_path(self.plan.folder, block.index))
        return {"labels": len(objects), "voxels_crc32": voxels_checksum(core)}

    def files(self, block: Block) -> list[Path]:
        return [place(self.plan.folder, block.index) for place in (objects_path, slabs_path)]


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
