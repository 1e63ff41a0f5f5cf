"""What stages share that make one new volume, which the user named: a layer, an array, or a file."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from pathlib import Path
from typing import Any

from axonloom.durable import sync_folder, write_json
from axonloom.geometry import Block, Box
from axonloom.stage import StageError
from axonloom.stages.tool_stage import ToolStage
from axonloom.volumes import Volume, VolumeError, open_volume
from axonloom.volumes.export import export
from axonloom.volumes.identity import file_identity
from axonloom.volumes.precomputed_info import SCHEME
from axonloom.volumes.record import FINGERPRINT
from axonloom.workspace import placed

#: Formats that one process writes at the end, from a volume in the workspace.
EXPORTED = (".tif", ".tiff", ".h5", ".hdf5", ".hdf")


def new_target(tool: str, target: str, workspace: Path) -> str:
    """Where a new volume goes: the path or layer that was named, made absolute.

    Raises
    ------
    StageError
        It lies on another machine, or names a data set.
    """
    found = placed(target, workspace)
    if "://" in found.removeprefix(SCHEME):
        raise StageError(f"{tool}.target is {found}: a volume is made on a file system of this machine")
    if re.search(r"\.(h5|hdf5|hdf):", found, re.IGNORECASE):
        raise StageError(f"{tool}.target is {found}: name the file alone; its data set is called main")
    return found


class MadeVolumeStage(ToolStage):
    """A stage that makes a volume. Nothing has the name that the user gave before all blocks are done."""

    @abstractmethod
    def create(self, uri: str) -> None:
        """Create the volume, empty, for blocks to write into, with this stage's mark as its fingerprint."""

    @property
    def mark(self) -> str:
        """What the volume says it was made by; stages that make one volume together have one mark."""
        return self.plan.fingerprint

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
        return self.place.with_name(f".{self.mark[:16]}.{self.place.name}")

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
            return made_from(self.target) == self.mark
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

    def target_is_gone(self) -> bool:
        return not self.building.exists() and (self.is_exported or not self.is_finished())

    def prepare(self) -> None:
        self.require_own_target()
        if self.target_is_gone():
            self.create(f"{SCHEME if self.target.startswith(SCHEME) else ''}{self.building}")

    def stored(self, block: Block) -> tuple[Volume, Box] | None:
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
