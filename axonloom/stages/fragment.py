"""Affinities to fragments, block by block, with everything that joining and merging need later.

A block writes its part of the fragments volume under provisional ids, and one table file each for its objects, its interior
region-graph edges, its faces, and what small objects have become part of. No voxel is read again to join blocks: the faces carry what the neighbours need.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.id_map import IdMap
from axonloom.assembly.region_graph import RegionGraph
from axonloom.assembly.thresholds import threshold_to_uint8
from axonloom.checksums import voxels_checksum
from axonloom.config.segment import SegmentSettings
from axonloom.geometry import Block, BlockGrid, Box, Zyx, chunk_for_blocks
from axonloom.segmentation.absorption import absorb
from axonloom.segmentation.fragments import block_fragments, halo
from axonloom.stage import Stage, StageError, StagePlan
from axonloom.stages.inputs import open_volume_input
from axonloom.stages.stage_volume import ensure_volume
from axonloom.volumes import Volume, open_volume


class FragmentStage(Stage):
    name = "fragment"
    version = 2
    voxels_per_second = 8e6
    bytes_read, bytes_written, memory = 3.0, 7.0, 24.0

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
            The mask's shape differs from the affinities'.
        """
        inputs = {"affinities": affinities}
        if mask is not None:
            found = open_volume_input(mask, workspace).shape
            if found != shape:
                raise StageError(f"volumes.mask has {found} voxels (zyx), the affinities have {shape}: they must agree")
            inputs["mask"] = mask
        smoothing = _smoothing(settings.smoothing)
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={
                "low": threshold_to_uint8(settings.low),
                "high": threshold_to_uint8(settings.high),
                "smoothing": smoothing,
                "absorb": settings.absorb,
            },
            inputs=inputs,
            grid=BlockGrid(Box.of_shape(shape), block, halo(smoothing)),
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
        parameters = self.plan.parameters
        found = block_fragments(
            self.affinities.read(block.read),
            block.read,
            block.core,
            self.plan.grid.region.shape,
            parameters["low"],
            parameters["high"],
            mask=self.mask.read(block.read) != 0 if self.mask is not None else None,
            smoothing=parameters["smoothing"],
        )
        self.fragments.write(block.core, found.labels)
        self.fragments.sync(block.core)
        graph = absorb(
            RegionGraph(found.objects, found.edges, IdMap(found.objects.ids, found.objects.ids)),
            parameters["absorb"],
            parameters["low"],
            open_ids=found.faces.ids(),
        )
        graph.fragments.write(objects_path(self.plan.folder, block.index))
        graph.edges.write(edges_path(self.plan.folder, block.index))
        graph.canonical.write(basins_path(self.plan.folder, block.index))
        found.faces.write(faces_path(self.plan.folder, block.index))
        return {
            "basins": len(found.objects),
            "fragments": len(graph.fragments),
            "edges": len(graph.edges),
            "voxels_crc32": voxels_checksum(found.labels),
        }

    def files(self, block: Block) -> list[Path]:
        return [place(self.plan.folder, block.index) for place in (objects_path, edges_path, basins_path, faces_path)]

    def stored(self, block: Block) -> tuple[Volume, Box]:
        return self.fragments, block.core


def objects_path(folder: Path, block: int) -> Path:
    return folder / "objects" / f"{block:08d}.parquet"


def edges_path(folder: Path, block: int) -> Path:
    return folder / "edges" / f"{block:08d}.parquet"


def basins_path(folder: Path, block: int) -> Path:
    """What each id in the block's voxels has become part of within the block (:class:`IdMap`)."""
    return folder / "basins" / f"{block:08d}.parquet"


def faces_path(folder: Path, block: int) -> Path:
    return folder / "faces" / f"{block:08d}.parquet"


def _smoothing(sigma: Decimal) -> str | None:
    """The sigma as the kernels take it: canonical text, None for no smoothing."""
    return format(sigma.normalize(), "f") if sigma else None
