"""A folder of overlapping files to one volume."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.joined_files import joined
from axonloom.checksums import voxels_checksum
from axonloom.config.block_files import JoinSettings
from axonloom.config.load import ConfigurationError
from axonloom.durable import sync_folder, write_json
from axonloom.geometry import Block, BlockGrid, Box, Zyx, chunk_for_blocks
from axonloom.lazy import lazy
from axonloom.stage import StageError, StagePlan
from axonloom.stages.inputs import files_input
from axonloom.stages.tool_stage import ToolStage
from axonloom.volumes import Volume, VolumeError, create_volume, open_volume
from axonloom.volumes.block_files import BlockFile, BlockFiles
from axonloom.volumes.export import export
from axonloom.volumes.identity import file_identity
from axonloom.volumes.precomputed_info import SCHEME
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
        target = placed(settings.target, workspace)
        if "://" in target.removeprefix(SCHEME):
            raise StageError(f"join.target is {target}: a volume is joined on a file system of this machine")
        if re.search(r"\.(h5|hdf5|hdf):", target, re.IGNORECASE):
            raise StageError(f"join.target is {target}: name the file alone; its data set is called main")
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

    @property
    def target(self) -> str:
        """What the user named."""
        return placed(self.plan.parameters["target"], self.plan.workspace)

    @property
    def is_exported(self) -> bool:
        """Whether the target is one file, which is made at the end from a volume in the workspace."""
        return self.target.lower().endswith(EXPORTED)

    @property
    def place(self) -> Path:
        """Where the target lies."""
        return Path(self.target.removeprefix(SCHEME).rstrip("/"))

    @property
    def building(self) -> Path:
        """What blocks write into until all are done: in the workspace, or hidden beside the target."""
        if self.is_exported:
            return self.plan.folder / "joined.zarr"
        return self.place.with_name(f".{self.plan.fingerprint[:16]}.{self.place.name}")

    @property
    def output(self) -> Volume:
        place = self.building if self.building.exists() else self.place
        return open_volume(f"{SCHEME if self.target.startswith(SCHEME) else ''}{place}")

    @property
    def lease(self) -> Path | None:
        return self.place.with_name(f"{self.place.name}.lease")

    @property
    def export_note(self) -> Path:
        """Says which state of the target was written from here."""
        return self.plan.folder / "exported.json"

    def is_finished(self) -> bool:
        """Whether the target is there, as it was made here."""
        if not self.is_exported:
            return made_from(self.target) == self.plan.fingerprint
        note = self._exported()
        return note is not None and self.place.exists() and note.get("file") == file_identity(self.place)

    def _exported(self) -> dict[str, Any] | None:
        """What the note says: the file, and how many blocks had been finished by then, each as often as it was."""
        return json.loads(self.export_note.read_text()) if self.export_note.exists() else None

    def _completions(self) -> int:
        return sum(1 for _ in self.plan.ledger.facts())

    def finish(self) -> None:
        """Give the volume its name, or write the file, now that all blocks are done."""
        self.require_own_target()
        if self.is_exported:
            exported, completions = self._exported(), self._completions()
            # Blocks that were damaged and are made again have to get into the file too.
            if not self.is_finished() or exported is None or exported.get("completions") != completions:
                # The note first: what has its name without it would be taken for somebody else's.
                export(
                    self.output,
                    self.place,
                    lambda made: write_json(
                        self.export_note, {"file": file_identity(made), "completions": completions}
                    ),
                )
        elif self.building.exists() and not self.is_exported:
            self.building.rename(self.place)
            sync_folder(self.place.parent)

    def require_own_target(self) -> None:
        is_there = self.place.exists() and not (self.place.is_dir() and not any(self.place.iterdir()))
        if is_there and not self.is_finished():
            raise StageError(
                f"{self.target} is there already and was made otherwise: name another target, or move it away"
            )

    def warning(self) -> str | None:
        # Nobody has said what should be there, and the first files may be missing as well as never have been asked for.
        if self.source.made_from is not None or self._region is not None or not any(self.source.begins):
            return None
        return (
            f"the names in {self.source.folder} begin at voxel {self.source.begins} (zyx): {self.target} gets {self.source.extent}; set "
            "join.region where there should be more"
        )

    def target_is_gone(self) -> bool:
        return not self.building.exists() and (self.is_exported or not self.is_finished())

    def prepare(self) -> None:
        self.require_own_target()
        if self.target_is_gone():
            prefix = SCHEME if self.target.startswith(SCHEME) else ""
            parameters, grid = self.plan.parameters, self.plan.grid
            create_volume(
                f"{prefix}{self.building}",
                shape=grid.region.shape,
                dtype=parameters["dtype"],
                channels=parameters["channels"],
                chunk=chunk_for_blocks(grid.shape, grid.region.shape),
                voxel_size=parameters["voxel_size"],
                offset=self.source.offset,
                attributes={FINGERPRINT: self.plan.fingerprint},
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
