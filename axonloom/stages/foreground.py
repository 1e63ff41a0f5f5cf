"""Where affinities or grey levels are high: the first stage of a mask."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.checksums import voxels_checksum
from axonloom.config.masking import MakeMaskSettings
from axonloom.config.volumes import VolumeSettings
from axonloom.geometry import Block, BlockGrid, Box, Zyx, chunk_for_blocks
from axonloom.lazy import lazy
from axonloom.masks.foreground import foreground, halo_of
from axonloom.stage import StageError, StagePlan
from axonloom.stages.inputs import open_configured, open_volume_input, volume_input
from axonloom.stages.stage_volume import ensure_volume
from axonloom.stages.tool_stage import WorkspaceStage
from axonloom.volumes import Volume, open_volume
from axonloom.workspace import placed


class MaskVolumeStage(WorkspaceStage):
    """A stage that leaves a mask in the workspace: ``mask.zarr``, uint8, 0 and 1."""

    #: The name of the input that the mask has its place from.
    like: str

    @lazy
    def source(self) -> Volume:
        return open_volume_input(self.plan.inputs[self.like], self.plan.workspace)

    @lazy
    def output(self) -> Volume:
        return open_volume(str(self._path))

    @property
    def _path(self) -> Path:
        return self.plan.folder / "mask.zarr"

    def target_is_gone(self) -> bool:
        return not self._path.exists()

    def prepare(self) -> None:
        grid = self.plan.grid
        ensure_volume(
            self._path,
            shape=grid.region.shape,
            dtype=np.uint8,
            chunk=chunk_for_blocks(grid.shape, grid.region.shape),
            voxel_size=self.source.voxel_size,
            offset=self.source.offset,
            attributes={"axonloom_fingerprint": self.plan.fingerprint},
            quick=True,
        )

    def left(self, block: Block, mask: np.ndarray) -> dict[str, Any]:
        """Store a block's mask (bool), and say so."""
        found = mask.astype(np.uint8)
        self.output.write(block.core, found)
        self.output.sync(block.core)
        return {"voxels_crc32": voxels_checksum(found)}

    def stored(self, block: Block) -> tuple[Volume, Box]:
        return self.output, block.core


class ForegroundStage(MaskVolumeStage):
    name = "foreground"
    version = 1
    voxels_per_second = 5e6
    bytes_read, bytes_written, memory = 3.0, 0.2, 40.0
    like = "volume"

    @classmethod
    def planned(cls, settings: MakeMaskSettings, block: Zyx, workspace: Path) -> StagePlan:
        """Raises VolumeError where the source cannot be opened, StageError where its values have no scale."""
        assert settings.source is not None
        given = VolumeSettings(path=placed(settings.source, workspace), version=settings.version)
        source = open_configured(given)
        if source.dtype.kind not in "uf":
            raise StageError(
                f"{source.uri} holds {source.dtype}: a mask is made of affinities or grey levels, unsigned or float"
            )
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={
                "reduce": settings.reduce,
                "smoothing": list(settings.smoothing),
                "threshold": str(settings.threshold),
                "below": settings.below,
            },
            inputs={"volume": volume_input(given)},
            grid=BlockGrid(Box.of_shape(source.shape), block, halo_of(settings.smoothing)),
            workspace=workspace,
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        parameters = self.plan.parameters
        values = self.source.read(block.read)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise StageError(f"{self.source.uri} holds a value that is no number in {block.read} (zyx voxels)")
        found = foreground(
            values,
            block.read,
            block.core,
            reduce=parameters["reduce"],
            sigma=parameters["smoothing"],
            threshold=float(parameters["threshold"]),
            below=parameters["below"],
        )
        return self.left(block, found)
