"""Affinities of any offsets, all channels of them: what a mutex watershed needs beside the nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from axonloom.geometry import Box, Zyx
from axonloom.volumes.affinities import FLOAT_TO_UINT8, affinities_as_uint8, open_affinities
from axonloom.volumes.volume import Volume, VolumeError


class LongRangeAffinityVolume(Volume):
    """A view of ``volume`` as uint8 (c, z, y, x); made by :func:`open_long_range_affinities`.

    Channel c at voxel v is the affinity of v and v + ``offsets[c]``. Where v + offset lies outside the volume there is no edge:
    what is stored there may be anything, and reads 0. Floats in 0..1 become round(255 a), ties to even.
    """

    def __init__(self, volume: Volume, offsets: Sequence[Zyx]) -> None:
        self.volume = volume
        self.offsets = tuple(offsets)
        self.format = volume.format
        self.uri = volume.uri
        self.shape = volume.shape
        self.channels = len(self.offsets)
        self.dtype = np.dtype(np.uint8)
        self.chunk = volume.chunk
        self.voxel_size = volume.voxel_size
        self.offset = volume.offset
        self.attributes = volume.attributes

    def __reduce__(self) -> tuple[Any, ...]:
        return LongRangeAffinityVolume, (self.volume, self.offsets)

    def _read(self, box: Box, channels: Sequence[int] | None) -> np.ndarray:
        wanted = list(range(len(self.offsets)) if channels is None else channels)
        out = np.zeros((len(wanted), *box.shape), np.uint8)
        if out.size == 0:
            return out
        stored = self.volume.read(box, wanted)
        for i, channel in enumerate(wanted):
            edges = self.volume.box.shifted([-n for n in self.offsets[channel]]).clipped(box)
            if edges.voxels:
                inside = edges.slices_in(box)
                out[i][inside] = affinities_as_uint8(stored[i][inside], edges, self.volume.uri)
        return out

    def _write(self, box: Box, array: np.ndarray) -> None:
        raise VolumeError(f"{self.uri} is a view of affinities, for reading: write to the volume itself")

    def close(self) -> None:
        self.volume.close()

    def identity(self) -> dict[str, Any]:
        view: dict[str, Any] = {"offsets": [list(o) for o in self.offsets]}
        if self.volume.dtype.kind == "f":
            view["float_to_uint8"] = FLOAT_TO_UINT8
        return {"source": self.volume.identity(), "long_range_affinities": view}

    def describe(self) -> dict[str, Any]:
        return {
            **super().describe(),
            "stored_dtype": str(self.volume.dtype),
            "offsets": [list(o) for o in self.offsets],
        }


def open_long_range_affinities(volume: Volume, offsets: Sequence[Sequence[int]]) -> LongRangeAffinityVolume:
    """A view of ``volume`` with all its channels.

    Parameters
    ----------
    volume : Volume
        (c, z, y, x), uint8 (0..255) or floats (0..1).
    offsets : list of (z, y, x)
        One a channel: the value at v speaks of v and v + offset.

    Raises
    ------
    VolumeError
        As :func:`axonloom.volumes.open_affinities`; or an offset of 0 in all axes. Values outside 0..1 are found when they
        are read.
    """
    open_affinities(volume, offsets=offsets)
    given = [cast(Zyx, tuple(int(n) for n in o)) for o in offsets]
    if (0, 0, 0) in given:
        raise VolumeError(f"{volume.uri}: the offset of channel {given.index((0, 0, 0))} is 0, so it joins nothing")
    return LongRangeAffinityVolume(volume, given)
