"""A folder of overlapping files to one volume."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.joined_files import joined
from axonloom.checksums import voxels_checksum
from axonloom.config.block_files import JoinSettings
from axonloom.config.load import ConfigurationError
from axonloom.geometry import Block, BlockGrid, Box, Zyx, chunk_for_blocks
from axonloom.lazy import lazy
from axonloom.stage import StageError, StagePlan
from axonloom.stages.inputs import files_input
from axonloom.stages.made_volume import MadeVolumeStage, new_target
from axonloom.volumes import VolumeError, create_volume
from axonloom.volumes.block_files import BlockFile, BlockFiles
from axonloom.volumes.record import FINGERPRINT
from axonloom.workspace import placed, portable


class JoinFilesStage(MadeVolumeStage):
    name = "assemble"
    version = 1
    voxels_per_second = 1e7
    bytes_read, bytes_written, memory = 4.0, 3.0, 60.0

    @classmethod
    def planned(cls, settings: JoinSettings, block: Zyx, workspace: Path) -> StagePlan:
        """The plan; every file is opened, but none is read.

        Raises
        ------
        ConfigurationError
            Source or target are not set.
        VolumeError
            Files are missing, half-written or of different kinds, or voxels are in none of them.
        StageError
            Labels are to be blended.
        """
        if settings.source is None or settings.target is None:
            raise ConfigurationError(
                "join.source and join.target are not set: name a folder and a volume, as in `axonloom tools join FOLDER TARGET`"
            )
        target = new_target("join", settings.target, workspace)
        wanted = settings.region
        region = Box(start=wanted.start, end=wanted.stop) if wanted is not None else None
        found = BlockFiles.open(Path(placed(str(settings.source), workspace)), region)
        first = found.volume(found.files[0])
        kinds = {(str(first.dtype), first.channels)}
        for file in found.files[1:]:
            # One at a time: there may be more of them than a process may have open.
            opened = found.volume(file)
            kinds.add((str(opened.dtype), opened.channels))
        if len(kinds) > 1:
            raise VolumeError(
                f"the files in {found.folder} are of different kinds (type, channels): {sorted(map(str, kinds))}"
            )
        dtype, channels = first.dtype, first.channels
        if settings.how == "blend" and dtype.kind in "ui" and dtype.itemsize >= 4:
            raise StageError(
                f"{found.folder} holds {dtype}, which looks like labels: set join.how to crop, since a mean of ids is none"
            )
        grid = BlockGrid(Box.of_shape(found.shape), block)
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={
                "target": portable(target, workspace),
                "how": settings.how,
                "dtype": str(dtype),
                "channels": channels,
                "voxel_size": list(settings.voxel_size or found.voxel_size or first.voxel_size or ()) or None,
                # Only where it is asked for, so that what was made without stays valid.
                **({"region": [region.origin, region.stop]} if region is not None else {}),
            },
            inputs={"files": files_input(found)},
            grid=grid,
            workspace=workspace,
        )

    @lazy
    def source(self) -> BlockFiles:
        return BlockFiles.open(Path(self.plan.inputs["files"]["path"]), self._region)

    @property
    def _region(self) -> Box | None:
        """The voxels that were asked for."""
        given = self.plan.parameters.get("region")
        return Box(start=given[0], end=given[1]) if given is not None else None

    def create(self, uri: str) -> None:
        parameters, grid = self.plan.parameters, self.plan.grid
        create_volume(
            uri,
            shape=grid.region.shape,
            dtype=parameters["dtype"],
            channels=parameters["channels"],
            chunk=chunk_for_blocks(grid.shape, grid.region.shape),
            voxel_size=parameters["voxel_size"],
            offset=self.source.offset,
            attributes={FINGERPRINT: self.plan.fingerprint},
        )

    def warning(self) -> str | None:
        # Nobody has said what should be there, and the first files may be missing as well as never have been asked for.
        if self.source.made_from is not None or self._region is not None or not any(self.source.begins):
            return None
        return (
            f"the names in {self.source.folder} begin at voxel {self.source.begins} (zyx): {self.target} gets {self.source.extent}; set "
            "join.region where there should be more"
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        # Opened for this block alone: there may be thousands, each with a cache of its own.
        pieces = (
            (file.box, file.core, self._part(file, file.box.clipped(block.core)))
            for file in self.source.files
            if file.box.clipped(block.core).voxels
        )
        found = joined(pieces, block.core, self.plan.parameters["how"])
        output = self.output
        output.write(block.core, found)
        output.sync(block.core)
        return {"voxels_crc32": voxels_checksum(found)}

    def _part(self, file: BlockFile, box: Box) -> np.ndarray:
        return self.source.volume(file).read(box.shifted([-n for n in file.box.origin]))
