"""A volume to a folder of overlapping files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axonloom.checksums import voxels_checksum
from axonloom.config.block_files import SplitSettings
from axonloom.config.load import ConfigurationError
from axonloom.config.volumes import VolumeSettings
from axonloom.geometry import Block, BlockGrid, Box
from axonloom.lazy import lazy
from axonloom.stage import StagePlan
from axonloom.stages.inputs import open_volume_input, volume_input
from axonloom.stages.tool_stage import FolderStage
from axonloom.volumes import Volume, open_volume
from axonloom.volumes.block_files import BlockFile, BlockFiles, block_name, write_block_file
from axonloom.workspace import placed, portable


class SplitStage(FolderStage):
    name = "split"
    version = 1
    voxels_per_second = 3e7
    bytes_read, bytes_written, memory = 2.0, 2.0, 8.0

    @classmethod
    def planned(cls, settings: SplitSettings, workspace: Path) -> StagePlan:
        """Raises ConfigurationError where source or target are not set, VolumeError where the source cannot be opened."""
        if settings.source is None or settings.target is None:
            raise ConfigurationError(
                "split.source and split.target are not set: name a volume and a folder, as in `axonloom tools split VOLUME FOLDER`"
            )
        given = VolumeSettings(path=placed(settings.source, workspace), version=settings.version)
        shape = open_volume(given.path, version=given.version).shape
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={"target": portable(str(settings.target), workspace), "format": settings.format},
            inputs={"volume": volume_input(given)},
            grid=BlockGrid(Box.of_shape(shape), settings.block, settings.overlap),
            workspace=workspace,
        )

    @lazy
    def source(self) -> Volume:
        return open_volume_input(self.plan.inputs["volume"], self.plan.workspace)

    @lazy
    def target(self) -> BlockFiles:
        parameters = self.plan.parameters
        return BlockFiles(
            folder=Path(placed(parameters["target"], self.plan.workspace)),
            shape=self.plan.grid.region.shape,
            files=tuple(
                BlockFile(block_name("block", block.read, parameters["format"]), block.read, block.core)
                for block in self.plan.grid
            ),
            voxel_size=self.source.voxel_size,
            offset=self.source.offset,
            made_from=self.plan.fingerprint,
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        values = self.source.read(block.read)
        file = self.target.files[block.index]
        z, y, x = (o + a for o, a in zip(self.source.offset, file.box.origin, strict=True))
        write_block_file(self.target.folder / file.name, values, voxel_size=self.source.voxel_size, offset=(z, y, x))
        return {"voxels_crc32": voxels_checksum(values)}
