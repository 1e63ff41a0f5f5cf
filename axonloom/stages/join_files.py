"""A folder of overlapping files to one volume."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from axonloom.assembly.joined_files import joined
from axonloom.checksums import voxels_checksum
from axonloom.config.block_files import JoinSettings
from axonloom.config.load import ConfigurationError
from axonloom.durable import write_json
from axonloom.geometry import Block, BlockGrid, Box, Zyx, chunk_for_blocks
from axonloom.stage import StageError, StagePlan
from axonloom.stages.inputs import files_input
from axonloom.stages.tool_stage import ToolStage
from axonloom.volumes import Volume, VolumeError, create_volume, open_volume
from axonloom.volumes.block_files import BlockFiles
from axonloom.volumes.export import export
from axonloom.volumes.identity import file_identity
from axonloom.volumes.record import FINGERPRINT
from axonloom.workspace import placed, portable

#: Formats that one process writes at the end, from a volume in the workspace.
EXPORTED = (".tif", ".tiff", ".h5", ".hdf5", ".hdf")


class JoinFilesStage(ToolStage):
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
        found = BlockFiles.open(Path(placed(str(settings.source), workspace)))
        opened = [found.volume(file) for file in found.files]
        kinds = {(str(volume.dtype), volume.channels) for volume in opened}
        if len(kinds) > 1:
            raise VolumeError(
                f"the files in {found.folder} are of different kinds (type, channels): {sorted(map(str, kinds))}"
            )
        dtype, channels = opened[0].dtype, opened[0].channels
        if settings.how == "blend" and dtype.kind in "ui" and dtype.itemsize >= 4:
            raise StageError(
                f"{found.folder} holds {dtype}, which looks like labels: set join.how to crop, since a mean of ids is none"
            )
        grid = BlockGrid(Box.of_shape(found.shape), block)
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={
                "target": portable(placed(settings.target, workspace), workspace),
                "how": settings.how,
                "dtype": str(dtype),
                "channels": channels,
                "voxel_size": list(settings.voxel_size or found.voxel_size or ()) or None,
            },
            inputs={"files": files_input(found)},
            grid=grid,
            workspace=workspace,
        )

    @cached_property
    def source(self) -> BlockFiles:
        return BlockFiles.open(Path(self.plan.inputs["files"]["path"]))

    @cached_property
    def pieces(self) -> list[Volume]:
        return [self.source.volume(file) for file in self.source.files]

    @property
    def target(self) -> str:
        """What the user named."""
        return placed(self.plan.parameters["target"], self.plan.workspace)

    @property
    def written(self) -> str:
        """What blocks write into: that, or a volume in the workspace from which it is made."""
        return str(self.plan.folder / "joined.zarr") if self.is_exported else self.target

    @property
    def is_exported(self) -> bool:
        return self.target.lower().endswith(EXPORTED)

    @cached_property
    def output(self) -> Volume:
        return open_volume(self.written)

    @property
    def lease(self) -> Path | None:
        location = self.target.rpartition("://")[2] if self.target.startswith("precomputed://") else self.target
        return None if "://" in location else Path(f"{location.rstrip('/')}.lease")

    @property
    def export_note(self) -> Path:
        """Says which state of the target was written from here."""
        return self.plan.folder / "exported.json"

    def is_up_to_date(self) -> bool:
        """Whether the file that was made from ``joined.zarr`` is there, as it was written."""
        path = Path(self.target)
        return (
            self.export_note.exists()
            and path.exists()
            and json.loads(self.export_note.read_text()) == file_identity(path)
        )

    def finish(self) -> None:
        """Write the file that the user named, once all blocks are done; nothing where blocks write there themselves."""
        if self.is_exported and not self.is_up_to_date():
            export(self.output, Path(self.target))
            write_json(self.export_note, file_identity(Path(self.target)))

    def require_own_target(self) -> None:
        if self.is_exported:
            if Path(self.target).exists() and not self.is_up_to_date():
                raise StageError(f"{self.target} is there already: name another target, or move it away")
            return
        made = made_from(self.target)
        if made is not None and made != self.plan.fingerprint:
            raise StageError(
                f"{self.target} is there already and was made otherwise: name another target, or move it away"
            )

    def target_is_gone(self) -> bool:
        return made_from(self.written) is None

    def prepare(self) -> None:
        self.require_own_target()
        if self.target_is_gone():
            parameters, grid = self.plan.parameters, self.plan.grid
            create_volume(
                self.written,
                shape=grid.region.shape,
                dtype=parameters["dtype"],
                channels=parameters["channels"],
                chunk=chunk_for_blocks(grid.shape, grid.region.shape),
                voxel_size=parameters["voxel_size"],
                offset=self.source.offset,
                attributes={FINGERPRINT: self.plan.fingerprint},
            )

    def process(self, block: Block) -> Mapping[str, Any]:
        pieces = (
            (file.box, file.core, volume.read(file.box.clipped(block.core).shifted([-n for n in file.box.origin])))
            for file, volume in zip(self.source.files, self.pieces, strict=True)
            if file.box.clipped(block.core).voxels
        )
        found = joined(pieces, block.core, self.plan.parameters["how"])
        self.output.write(block.core, found)
        self.output.sync(block.core)
        return {"voxels_crc32": voxels_checksum(found)}

    def stored(self, block: Block) -> tuple[Volume, Box]:
        return self.output, block.core


def made_from(uri: str) -> str | None:
    """The fingerprint of the stage that writes a volume; "" for a volume of others; None where there is none."""
    location = Path(uri.rpartition("://")[2])
    if not location.exists() or (location.is_dir() and not any(location.iterdir())):
        return None
    try:
        return str(getattr(open_volume(uri), "attributes", {}).get(FINGERPRINT, ""))
    except VolumeError:
        return ""
