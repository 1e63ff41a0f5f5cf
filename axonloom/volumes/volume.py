"""The one interface to stored voxels, whatever the format.

Arrays are ``zyx``, or ``czyx`` when the volume has channels; boxes are in voxels of the volume itself, so that ``(0, 0, 0)``
is its first voxel whatever its ``offset``. A format that stores another order turns it here, at the door, and nowhere else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from axonloom.bad_input import BadInputError
from axonloom.geometry import Box, Zyx


class VolumeError(BadInputError):
    """Something about a volume that the user can mend, said in one sentence: what, where, and what would work."""


class Volume(ABC):
    """A lazy array of voxels.

    Attributes
    ----------
    uri : str
        What :func:`axonloom.volumes.open_volume` opens it by, also on another process.
    shape : (z, y, x)
        Voxels.
    channels : int or None
        None when the array has no channel axis.
    dtype : numpy.dtype
    chunk : (z, y, x) or None
        Stored chunk; None where the file is contiguous.
    voxel_size : (z, y, x) floats or None
        Nanometres; None when the file does not say.
    offset : (z, y, x) ints
        Where the first voxel lies in the data set, in voxels.
    writable_by_blocks : bool
        Whether several processes may write disjoint chunks at once.
    attributes : mapping
        What else was stored with the voxels, as plain JSON.

    A volume may be used from several threads, and pickled: it is opened again, by its URI, where it is unpickled.
    """

    format: str = ""
    writable_by_blocks: bool = False
    attributes: Mapping[str, Any] = MappingProxyType({})

    uri: str
    shape: Zyx
    channels: int | None
    dtype: np.dtype[Any]
    chunk: Zyx | None
    voxel_size: tuple[float, float, float] | None
    offset: Zyx

    @property
    def box(self) -> Box:
        """All voxels of the volume."""
        return Box.of_shape(self.shape)

    @property
    def nbytes(self) -> int:
        return self.box.voxels * (self.channels or 1) * self.dtype.itemsize

    def read(self, box: Box | None = None, channels: Sequence[int] | None = None) -> np.ndarray:
        """Voxels of ``box`` (default: all), as (z, y, x) or (c, z, y, x); ``channels`` picks some, in that order.

        Raises
        ------
        VolumeError
            The box reaches outside, or the stored data are damaged or missing.
        """
        box = self.box if box is None else box
        if not self.box.contains(box):
            raise VolumeError(f"{self.uri} holds {self.box} (zyx voxels); {box} reaches outside it")
        if channels is not None and not all(0 <= c < (self.channels or 0) for c in channels):
            held = "no channel axis" if self.channels is None else f"channels 0 to {self.channels - 1}"
            raise VolumeError(f"{self.uri} has {held}; channels {list(channels)} were asked for")
        return self._read(box, channels)

    def write(self, box: Box, array: np.ndarray) -> None:
        """Store ``array`` ((c)zyx, exactly the box's shape and the volume's dtype); durable only after :meth:`sync`."""
        expected = (*((self.channels,) if self.channels is not None else ()), *box.shape)
        if array.shape != expected or array.dtype != self.dtype:
            raise ValueError(f"{self.uri}: {box} takes {expected} {self.dtype}, not {array.shape} {array.dtype}")
        if not self.box.contains(box):
            raise VolumeError(f"{self.uri} holds {self.box} (zyx voxels); {box} reaches outside it")
        self._write(box, array)

    @abstractmethod
    def _read(self, box: Box, channels: Sequence[int] | None) -> np.ndarray: ...

    def _write(self, box: Box, array: np.ndarray) -> None:
        raise VolumeError(f"{self.uri} was opened for reading ({self.format})")

    def sync(self, box: Box | None = None) -> None:
        """Make what was written in ``box`` (default: everything) durable: data first, then the folders that name it."""

    def close(self) -> None:
        """Let go of open files; the next read or write opens them again."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What changes when the data change, as plain JSON: for fingerprints. Cheap: never reads voxels."""

    def describe(self) -> dict[str, Any]:
        """Facts for ``axonloom info``, as plain JSON."""
        return {
            "uri": self.uri,
            "format": self.format,
            "axes": "czyx" if self.channels is not None else "zyx",
            "shape": list(self.shape),
            "channels": self.channels,
            "dtype": str(self.dtype),
            "bytes": self.nbytes,
            "chunk": list(self.chunk) if self.chunk else None,
            "voxel_size_nm": list(self.voxel_size) if self.voxel_size else None,
            "offset_voxels": list(self.offset),
        }
