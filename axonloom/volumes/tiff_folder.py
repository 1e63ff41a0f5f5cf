"""A folder of TIFF files, one section each, in natural order of their names (2 before 10)."""

from __future__ import annotations

import os
import re
import shutil
import threading
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.durable import sync_file, sync_folder
from axonloom.geometry import Box
from axonloom.volumes.identity import folder_identity
from axonloom.volumes.new_volume import NewVolume
from axonloom.volumes.record import FINGERPRINT, RECORD_FILE, VolumeRecord, read_record_file, write_record_file
from axonloom.volumes.stored import StoredVolume
from axonloom.volumes.tiff import EXTENSIONS, write_empty
from axonloom.volumes.tiff_stack import TiffStack
from axonloom.volumes.volume import VolumeError

#: Headers that are kept; each is small, but may hold decoded strips.
_OPEN_SECTIONS = 16
#: Up to here all sections are looked at when the folder is opened; beyond, each when it is read.
_CHECKED_AT_ONCE = 2_000


class TiffFolder(StoredVolume):
    """Sections, all of one shape and dtype; written by one process."""

    format = "tiff folder"

    def __init__(self, uri: str, *, checked: bool = False, **overrides: Any) -> None:
        super().__init__(uri, **overrides)
        self.path = Path(uri)
        self.sections = section_files(self.path)
        if not self.sections:
            raise VolumeError(f"{self.path} is a folder without TIFF files ({', '.join(EXTENSIONS)})")
        self._lock = threading.Lock()
        self._stacks: OrderedDict[int, TiffStack] = OrderedDict()
        first = TiffStack(self.sections[0])
        if first.depth != 1 or first.channels is not None:
            raise VolumeError(
                f"{self.sections[0]} holds {first.depth} sections of {first.channels or 1} channels; in a folder, a file is "
                "one section: open the file itself"
            )
        self.shape, self.channels = (len(self.sections), first.height, first.width), None
        self.dtype, self.chunk = first.dtype, None
        record = read_record_file(self.path)
        if not checked and record is None and len(self.sections) <= _CHECKED_AT_ONCE:
            for z in range(len(self.sections)):
                self._section(z)
        self._adopt(record if record is not None and record.complete else _with_attributes(first.record, record))

    def _section(self, z: int) -> TiffStack:
        """One section's file.

        Raises
        ------
        VolumeError
            It differs from the first in shape or dtype.
        """
        with self._lock:
            found = self._stacks.get(z)
            if found is not None:
                self._stacks.move_to_end(z)
                return found
        found = TiffStack(self.sections[z])
        size = (found.depth, found.height, found.width)
        if size != (1, *self.shape[1:]) or found.channels is not None or found.dtype != self.dtype:
            raise VolumeError(
                f"{self.sections[z]} has the shape {size} (zyx) and holds {found.dtype}, where {self.sections[0].name} has "
                f"{(1, *self.shape[1:])} and {self.dtype}: all sections of a folder must agree"
            )
        with self._lock:
            self._stacks[z] = found
            while len(self._stacks) > _OPEN_SECTIONS:
                self._stacks.popitem(last=False)
        return found

    def _read(self, box: Box, channels: Sequence[int] | None) -> np.ndarray:
        out = np.empty(box.shape, self.dtype)
        for i, z in enumerate(range(box.origin[0], box.stop[0])):
            self._section(z).read(_plane_of(box), None, out[i : i + 1])
        return out

    def _write(self, box: Box, array: np.ndarray) -> None:
        for i, z in enumerate(range(box.origin[0], box.stop[0])):
            section = self._section(z)
            if not section.mapped:
                raise VolumeError(f"{self.sections[z]} is compressed or in pieces, and can only be read")
            section.map("r+")[_plane_of(box).slices] = array[i : i + 1]

    def sync(self, box: Box | None = None) -> None:
        """Sync the sections of ``box``: also those whose maps were let go since."""
        box = self.box if box is None else box
        for z in range(box.origin[0], box.stop[0]):
            with self._lock:
                held = self._stacks.get(z)
            if held is not None:
                held.flush()
            sync_file(self.sections[z])

    def _overrides(self) -> dict[str, Any]:
        return {**super()._overrides(), "checked": True}

    def identity(self) -> dict[str, Any]:
        path = self.path / RECORD_FILE
        metadata = [path.read_bytes()] if path.exists() else []
        return folder_identity(self.path, metadata, self.version, self.attributes.get(FINGERPRINT), EXTENSIONS)

    def describe(self) -> dict[str, Any]:
        first, last = self.sections[0].name, self.sections[-1].name
        return {**super().describe(), "first_section": first, "last_section": last, "attributes": dict(self.attributes)}


def section_files(folder: Path) -> list[Path]:
    """The TIFF files in ``folder``, in natural order; names that begin with a dot are left out."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS and not p.name.startswith(".")]
    return sorted(found, key=lambda p: natural_key(p.name))


def natural_key(name: str) -> tuple[tuple[tuple[int, int | str], ...], str]:
    """Sorts runs of digits by their value: s2 before s10. Names that are equal so (s1, s01) sort by their letters."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(p)) if p.isascii() and p.isdigit() else (1, p) for p in parts), name


def create_tiff_folder(uri: str, new: NewVolume) -> TiffFolder:
    """Create a folder of uncompressed sections of zeros; it appears whole or not at all.

    Raises
    ------
    VolumeError
        The folder holds something already (``overwrite`` removes TIFF sections and nothing else), or channels are wanted.
    """
    if new.channels is not None:
        raise VolumeError(f"{uri}: a folder of sections holds no channels; a .tif file, .h5 and .zarr do")
    path = Path(os.path.abspath(uri))
    if path.exists():
        names = [p.name for p in path.iterdir()] if path.is_dir() else [path.name]
        foreign = [n for n in names if not n.lower().endswith((*EXTENSIONS, RECORD_FILE))]
        if not path.is_dir() or foreign:
            raise VolumeError(
                f"{path} exists and holds other files ({foreign[0] if foreign else path.name}): choose another name"
            )
        if names and not new.overwrite:
            raise VolumeError(f"{path} exists already: choose another name, or overwrite it (overwrite=True)")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    temporary.mkdir()
    try:
        for z in range(new.shape[0]):
            write_empty(temporary / f"section_{z:05d}.tif", new.shape[1:], new.dtype, new.record)
        write_record_file(temporary, new.record)
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
        sync_folder(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return TiffFolder(uri)


def _plane_of(box: Box) -> Box:
    """The box's rectangle in a file of one section."""
    return Box(start=(0, *box.origin[1:]), size=(1, *box.shape[1:]))


def _with_attributes(record: VolumeRecord, marker: VolumeRecord | None) -> VolumeRecord:
    """What the first section says, with a marker file's fingerprint."""
    attributes = {**record.attributes, **(marker.attributes if marker else {})}
    return VolumeRecord(record.voxel_size, record.offset, attributes)
