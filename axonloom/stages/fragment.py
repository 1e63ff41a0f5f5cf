"""Affinities to fragments, block by block, with everything that joining and merging need later.

A block writes its part of the fragments volume under provisional ids, and one table file each for its objects, its interior
region-graph edges and its faces. No voxel is read again to join blocks: the faces carry what the neighbours need.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from axonloom.assembly.thresholds import threshold_to_uint8
from axonloom.checksums import voxels_checksum
from axonloom.config.segment import SegmentSettings
from axonloom.geometry import Block, BlockGrid, Box, Zyx
from axonloom.segmentation.fragments import block_fragments, halo
from axonloom.stage import StagePlan
from axonloom.stages.fragments_volume import FragmentsStage, objects_path


class FragmentStage(FragmentsStage):
    name = "fragment"
    version = 4
    voxels_per_second = 8e6
    # Memory: 23 on affinities as networks predict them; a phantom of hard mistakes has ten times the basins.
    bytes_read, bytes_written, memory = 3.0, 2.0, 55.0

    @classmethod
    def planned(
        cls,
        affinities: Mapping[str, Any],
        shape: Zyx,
        mask: Mapping[str, Any] | None,
        settings: SegmentSettings,
        block: Zyx,
        workspace: Path,
        *,
        histograms: bool = False,
    ) -> StagePlan:
        """The plan for affinities of this shape (zyx), which need not be there yet; with histograms for quantile scores.

        Raises
        ------
        StageError
            The mask's shape differs from the affinities'.
        """
        smoothing = _smoothing(settings.smoothing)
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={
                "low": threshold_to_uint8(settings.low),
                "high": threshold_to_uint8(settings.high),
                "smoothing": smoothing,
                "absorb": settings.absorb,
                **({"histograms": True} if histograms else {}),
            },
            inputs=cls.inputs(affinities, shape, mask, workspace),
            grid=BlockGrid(Box.of_shape(shape), block, halo(smoothing)),
            workspace=workspace,
        )

    @classmethod
    def memory_a_voxel(cls, plan: StagePlan) -> float:
        return cls.memory + 30.0 * ("histograms" in plan.parameters)

    def process(self, block: Block) -> Mapping[str, Any]:
        parameters = self.plan.parameters
        found = block_fragments(
            self.affinities.read(block.read),
            block.read,
            block.core,
            self.plan.grid.region.shape,
            parameters["low"],
            parameters["high"],
            mask=self.keep(block),
            smoothing=parameters["smoothing"],
            absorb=parameters["absorb"],
            histograms="histograms" in parameters,
        )
        labels = found.labels(self.fragments.dtype)
        self.fragments.write(block.core, labels)
        self.fragments.sync(block.core)
        found.objects.write(objects_path(self.plan.folder, block.index))
        found.growth.write(growth_path(self.plan.folder, block.index))
        found.edges.write(edges_path(self.plan.folder, block.index))
        found.faces.write(faces_path(self.plan.folder, block.index))
        return {
            "basins": found.basins,
            "fragments": len(found.objects),
            "edges": len(found.edges),
            "voxels_crc32": voxels_checksum(labels),
        }

    def files(self, block: Block) -> list[Path]:
        return [place(self.plan.folder, block.index) for place in (objects_path, growth_path, edges_path, faces_path)]


def growth_path(folder: Path, block: int) -> Path:
    return folder / "growth" / f"{block:08d}.parquet"


def edges_path(folder: Path, block: int) -> Path:
    return folder / "edges" / f"{block:08d}.parquet"


def faces_path(folder: Path, block: int) -> Path:
    return folder / "faces" / f"{block:08d}.parquet"


def _smoothing(sigma: Decimal) -> str | None:
    """The sigma as the kernels take it: canonical text, None for no smoothing."""
    return format(sigma.normalize(), "f") if sigma else None
