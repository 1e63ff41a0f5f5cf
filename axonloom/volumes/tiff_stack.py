"""One TIFF file as planes: what it holds, and any region of it without reading the rest."""

from __future__ import annotations

import math
import os
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile

from axonloom.geometry import Box
from axonloom.volumes.record import VolumeRecord
from axonloom.volumes.stored import plain_dtype
from axonloom.volumes.tiff_metadata import tiff_record
from axonloom.volumes.volume import VolumeError

#: Decoded strips and tiles that are kept, in bytes.
_CACHE_BYTES = 64 << 20
# What tifffile raises on damaged structure, besides its own error.
_DAMAGE = (tifffile.TiffFileError, struct.error, ValueError, IndexError, KeyError, TypeError, OverflowError, EOFError)


class TiffStack:
    """The planes of a TIFF file.

    Uncompressed contiguous data are mapped into memory (``mapped`` is True); of other files only the strips and tiles that
    a region touches are read and decoded. No file stays open.

    Attributes
    ----------
    depth, height, width : int
    channels : int or None
    dtype : numpy.dtype, native
    record : VolumeRecord
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with tifffile.TiffFile(path, _multifile=False) as tif:
                self._parse(tif)
        except tifffile.TiffFileError as error:
            if "not a TIFF" in str(error):
                raise VolumeError(f"{path} is not a TIFF file") from error
            raise VolumeError(f"{path} is damaged: {error}") from error
        except VolumeError:
            raise
        except _DAMAGE as error:
            raise VolumeError(f"{path} is damaged or truncated: {error}") from error
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._cached_bytes = 0
        self._maps: dict[str, np.memmap[Any, Any]] = {}

    def _parse(self, tif: tifffile.TiffFile) -> None:
        _require_all_pages(tif, self.path)
        if len(tif.series) != 1:
            shapes = ", ".join(str(s.shape) for s in tif.series[:3])
            raise VolumeError(f"{self.path} holds {len(tif.series)} images of shapes {shapes}; one stack is needed")
        series = tif.series[0]
        self._axes, self._counts = _leading_axes(series, self.path)
        sizes = dict(zip(self._axes, self._counts, strict=True))
        self.depth, self.channels = sizes.get("z", 1), sizes.get("c")
        self.height, self.width = (int(n) for n in series.shape[-2:])
        self.dtype = plain_dtype(series.dtype, str(self.path))
        self._stored_dtype = self.dtype.newbyteorder(tif.byteorder)
        self.record: VolumeRecord = tiff_record(tif, str(self.path))
        self._offset = series.dataoffset
        planes = math.prod(self._counts)
        if self._offset is not None:
            needed = self._offset + planes * self.height * self.width * self.dtype.itemsize
            held = self.path.stat().st_size
            if held < needed:
                raise VolumeError(f"{self.path} is truncated: its images need {needed} bytes, and it has {held}")
            return
        pages = list(series.pages)
        if len(pages) != planes or any(page is None for page in pages):
            raise VolumeError(f"{self.path} is damaged or truncated: it lists {planes} planes and holds {len(pages)}")
        self._keyframe: Any = series.keyframe
        if self._keyframe.ndim != 2:
            raise VolumeError(f"{self.path} stores {self._keyframe.axes} in a page; one plane (y, x) a page is read")
        self._segments = [(tuple(p.dataoffsets), tuple(p.databytecounts), p.jpegtables) for p in pages if p is not None]

    @property
    def mapped(self) -> bool:
        return self._offset is not None

    def map(self, mode: Literal["r", "r+"]) -> np.ndarray:
        """The whole file as a (c)zyx view on its bytes (in the file's byte order)."""
        with self._lock:
            found = self._maps.get(mode)
            if found is None:
                shape = (*self._counts, self.height, self.width)
                found = np.memmap(self.path, self._stored_dtype, mode, self._offset or 0, shape)
                self._maps[mode] = found
        return self._ordered(found)

    def _ordered(self, array: np.ndarray) -> np.ndarray:
        """Leading axes as (c)z."""
        if "z" not in self._axes:
            array = np.expand_dims(array, len(self._axes))
        elif self._axes == ("z", "c"):
            array = array.swapaxes(0, 1)
        return array

    def flush(self) -> None:
        """Hand what was written through :meth:`map` to the operating system."""
        for found in self._maps.values():
            found.flush()

    def read(self, box: Box, channels: Sequence[int] | None, out: np.ndarray) -> None:
        """Fill ``out`` ((c)zyx) with ``box``; ``channels`` picks some.

        Raises
        ------
        VolumeError
            A strip or tile is cut off or cannot be decoded.
        """
        if self.mapped:
            found = self.map("r")[(..., *box.slices)]
            out[...] = found if channels is None else found[list(channels)]
            return
        if box.voxels == 0:
            return
        picked = [None] if self.channels is None else list(range(self.channels) if channels is None else channels)
        with open(self.path, "rb") as file:
            for i, channel in enumerate(picked):
                for j, z in enumerate(range(box.origin[0], box.stop[0])):
                    self._read_plane(
                        file.fileno(), self._plane(z, channel), box, out[j] if channel is None else out[i, j]
                    )

    def _plane(self, z: int, channel: int | None) -> int:
        at = {"z": z, "c": channel or 0}
        return int(np.ravel_multi_index([at[a] for a in self._axes], self._counts)) if self._axes else 0

    def _read_plane(self, descriptor: int, plane: int, box: Box, out: np.ndarray) -> None:
        (_, y0, x0), (_, y1, x1) = box.origin, box.stop
        height, width = (int(n) for n in self._keyframe.chunks[-2:])
        across = -(-self.width // width)
        for row in range(y0 // height, -(-y1 // height)):
            for column in range(x0 // width, -(-x1 // width)):
                segment = self._segment(descriptor, plane, row * across + column, box)
                top, left = row * height, column * width
                ya, yb = max(y0, top), min(y1, top + height)
                xa, xb = max(x0, left), min(x1, left + width)
                out[ya - y0 : yb - y0, xa - x0 : xb - x0] = segment[ya - top : yb - top, xa - left : xb - left]

    def _segment(self, descriptor: int, plane: int, index: int, box: Box) -> np.ndarray:
        """One decoded strip or tile, (y, x)."""
        key = plane, index
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        offsets, counts, tables = self._segments[plane]
        try:
            data = os.pread(descriptor, counts[index], offsets[index]) if counts[index] else None
            if data is not None and len(data) < counts[index]:
                raise VolumeError(f"{self.path} is truncated: plane {plane}, in {box}, lies beyond its end")
            decoded = self._keyframe.decode(data, index, jpegtables=tables)[0]
        # imagecodecs' errors are RuntimeErrors.
        except (RuntimeError, NotImplementedError, zlib.error, *_DAMAGE) as error:
            raise VolumeError(f"{self.path}: plane {plane}, in {box}, cannot be decoded: {error}") from error
        if decoded is None:  # a segment of no bytes stands for empty
            height, width = (int(n) for n in self._keyframe.chunks[-2:])
            segment = np.full((height, width), self._keyframe.nodata, self.dtype)
        else:
            segment = decoded[0, :, :, 0]
        with self._lock:
            if key not in self._cache:
                self._cache[key] = segment
                self._cached_bytes += segment.nbytes
            while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 1:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return segment


def _require_all_pages(tif: tifffile.TiffFile, path: Path) -> None:
    """VolumeError when the chain of pages points beyond the file: tifffile would go on with the pages before."""
    if len(tif.pages) == 0:
        raise VolumeError(f"{path} is damaged or truncated: it holds no readable page")
    tif.filehandle.seek(tif.pages.next_page_offset or 0)
    last = tif.filehandle.read(tif.tiff.offsetsize)
    if len(last) < tif.tiff.offsetsize or struct.unpack(tif.tiff.offsetformat, last)[0] != 0:
        raise VolumeError(f"{path} is truncated: {len(tif.pages)} pages can be read, and more should follow")


def _leading_axes(series: tifffile.TiffPageSeries, path: Path) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The axes before y and x, as 'z' and 'c' in stored order, and their lengths.

    Letters are tifffile's. A lone axis that is not a channel is z, whatever it is called (ImageJ calls it time); of two
    that are not named, the first is the channel.
    """
    axes, shape = series.axes, series.shape
    if "S" in axes:
        raise VolumeError(
            f"{path} holds RGB or other multi-sample pixels, shape {shape} ({axes}): convert it to grey levels, one a voxel"
        )
    lead = axes[:-2]
    refused = VolumeError(
        f"{path} has the axes {axes} of shape {shape}; a volume has 3 (z, y, x) or 4 (channel, z, y, x)"
    )
    if axes[-2:] != "YX" or len(lead) > 2:
        raise refused
    if len(lead) < 2 or "C" in lead:
        names = tuple("c" if a == "C" else "z" for a in lead)
    elif "Z" in lead and "T" not in lead:
        names = tuple("z" if a == "Z" else "c" for a in lead)
    elif set(lead) <= {"Q", "I", "Z"}:
        names = ("c", "z")
    else:
        raise refused
    if len(set(names)) != len(names):
        raise refused
    return names, tuple(int(n) for n in shape[:-2])
