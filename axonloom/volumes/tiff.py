"""TIFF stacks: one file, zyx or czyx. Folders of sections are in :mod:`axonloom.volumes.tiff_folder`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from axonloom.durable import replacing, sync_file
from axonloom.geometry import Box
from axonloom.volumes.identity import file_identity
from axonloom.volumes.new_volume import NewVolume
from axonloom.volumes.record import VolumeRecord
from axonloom.volumes.stored import StoredVolume, require_file, spatial_shape
from axonloom.volumes.tiff_stack import TiffStack
from axonloom.volumes.volume import VolumeError

EXTENSIONS = (".tif", ".tiff")


class TiffVolume(StoredVolume):
    """A TIFF file, read by region: mapped where it is uncompressed and contiguous, else decoded strip by strip.

    Only mapped files can be written, by one process.
    """

    format = "tiff"

    def __init__(self, uri: str, **overrides: Any) -> None:
        super().__init__(uri, **overrides)
        self.path = Path(uri)
        require_file(self.path)
        self._stack = TiffStack(self.path)
        self.shape, _ = spatial_shape((self._stack.depth, self._stack.height, self._stack.width), uri)
        self.channels, self.dtype, self.chunk = self._stack.channels, self._stack.dtype, None
        self._adopt(self._stack.record)

    def _read(self, box: Box, channels: Sequence[int] | None) -> np.ndarray:
        lead = () if self.channels is None else (len(channels) if channels is not None else self.channels,)
        out = np.empty((*lead, *box.shape), self.dtype)
        self._stack.read(box, channels, out)
        return out

    def _write(self, box: Box, array: np.ndarray) -> None:
        if not self._stack.mapped:
            raise VolumeError(f"{self.uri} is compressed or in pieces, and can only be read: write to a new volume")
        self._stack.map("r+")[(..., *box.slices)] = array

    def sync(self, box: Box | None = None) -> None:
        self._stack.flush()
        sync_file(self.path)

    def identity(self) -> dict[str, Any]:
        return self._versioned(file_identity(self.path))

    def describe(self) -> dict[str, Any]:
        stored = "contiguous" if self._stack.mapped else "compressed or in pieces"
        return {**super().describe(), "stored": stored, "attributes": dict(self.attributes)}


def create_tiff(uri: str, new: NewVolume) -> TiffVolume:
    """Create an uncompressed stack of zeros (BigTIFF where it is large), one page a plane; it appears whole or not at all.

    Raises
    ------
    VolumeError
        The file exists and ``overwrite`` is not set, or a dtype that TIFF does not have.
    """
    path = Path(os.path.abspath(uri))
    if path.is_dir() or (path.exists() and not new.overwrite):
        hint = "choose another name" if path.is_dir() else "choose another name, or overwrite it (overwrite=True)"
        raise VolumeError(f"{path} exists already: {hint}")
    with replacing(path) as temporary:
        write_empty(temporary, new.array_shape, new.dtype, new.record)
    return TiffVolume(uri)


def write_empty(path: Path, shape: Sequence[int], dtype: np.dtype[Any], record: VolumeRecord) -> None:
    """A TIFF file of zeros of this shape (..yx), with the record in tifffile's JSON description."""
    if dtype.kind == "b":
        raise VolumeError(
            f"{path.name}: a TIFF file holds booleans as bits, which cannot be written by region: use uint8"
        )
    axes = "CZYX"[-len(shape) :]
    made = tifffile.memmap(
        path,
        shape=tuple(shape),
        dtype=dtype,
        photometric="minisblack",  # or three columns would be taken for colours
        metadata={"axes": axes, "axonloom": record.to_json()},
    )
    made.flush()
    # The file has holes so far, and a write into a mapped hole on a full disk kills the process; this raises OSError instead.
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
