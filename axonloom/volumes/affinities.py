"""Anyone's affinities as axonloom's own: nearest neighbours, (3, z, y, x) uint8, value at the destination voxel.

Conventions differ between programs: the order of the channels (zyx or xyz), whether the value at a voxel v speaks of v and the
voxel before it (v - e, "destination") or after it (v + e, "source"), and what further offsets there are. They are turned here,
and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from axonloom.geometry import Box
from axonloom.kernel import kernel
from axonloom.volumes.volume import Volume, VolumeError

Side = Literal["destination", "source"]

#: How floats become uint8: part of the identity, because it decides the result.
FLOAT_TO_UINT8 = "round(255 a)"


class AffinityVolume(Volume):
    """A view of ``volume`` with canonical affinities; made by :func:`open_affinities`.

    ``read`` gives uint8 (3, z, y, x): channel c (z, y, x) at voxel v is the affinity of v and v - e_c. The first plane of
    axis c in channel c is no edge and reads 0. Floats in 0..1 become round(255 a), ties to even.
    """

    def __init__(self, volume: Volume, channel_of_axis: Sequence[int], side_of_axis: Sequence[Side]) -> None:
        self.volume = volume
        self.channel_of_axis = tuple(channel_of_axis)
        self.side_of_axis = tuple(side_of_axis)
        self.format = volume.format
        self.uri = volume.uri
        self.shape = volume.shape
        self.channels = 3
        self.dtype = np.dtype(np.uint8)
        self.chunk = volume.chunk
        self.voxel_size = volume.voxel_size
        self.offset = volume.offset
        self.attributes = volume.attributes

    def __reduce__(self) -> tuple[Any, ...]:
        return AffinityVolume, (self.volume, self.channel_of_axis, self.side_of_axis)

    def _read(self, box: Box, channels: Sequence[int] | None) -> np.ndarray:
        axes = range(3) if channels is None else channels
        out = np.zeros((len(axes), *box.shape), np.uint8)
        if out.size == 0:
            return out
        # One read for all channels, which commonly share a stored chunk; where the value lies at the source, one voxel lower.
        low = [int(a in axes and self.side_of_axis[a] == "source") for a in range(3)]
        held = box.grown(low, (0, 0, 0)).clipped(self.volume.box)
        stored = self.volume.read(held, [self.channel_of_axis[a] for a in axes])
        for i, axis in enumerate(axes):
            start, step = list(box.origin), [0, 0, 0]
            start[axis] = max(start[axis], 1)  # what is stored for the first plane is no edge, and may be anything
            step[axis] = -1 if self.side_of_axis[axis] == "source" else 0
            if start[axis] < box.stop[axis]:
                edges = Box(start=start, end=box.stop)
                at = edges.shifted(step)
                out[i][edges.slices_in(box)] = affinities_as_uint8(stored[i][at.slices_in(held)], at, self.volume.uri)
        return out

    def _write(self, box: Box, array: np.ndarray) -> None:
        raise VolumeError(f"{self.uri} is a view of affinities, for reading: write to the volume itself")

    def close(self) -> None:
        self.volume.close()

    def identity(self) -> dict[str, Any]:
        view: dict[str, Any] = {"channel_of_axis": list(self.channel_of_axis), "value_at": list(self.side_of_axis)}
        if self.volume.dtype.kind == "f":
            view["float_to_uint8"] = FLOAT_TO_UINT8
        return {"source": self.volume.identity(), "affinities": view}

    def describe(self) -> dict[str, Any]:
        return {
            **super().describe(),
            "stored_channels": self.volume.channels,
            "stored_dtype": str(self.volume.dtype),
            "channel_of_axis": list(self.channel_of_axis),
            "value_at": list(self.side_of_axis),
        }


def open_affinities(
    volume: Volume,
    *,
    channel_order: Literal["zyx", "xyz"] = "zyx",
    value_at: Side = "destination",
    offsets: Sequence[Sequence[int]] | None = None,
) -> AffinityVolume:
    """A view of ``volume`` as canonical nearest-neighbour affinities: (3, z, y, x) uint8, value at the destination.

    Parameters
    ----------
    volume : Volume
        (c, z, y, x), uint8 (0..255) or floats (0..1).
    channel_order : 'zyx' or 'xyz'
        The axes of the three channels, in their order.
    value_at : 'destination' or 'source'
        The value at v speaks of v and v - e (destination) or v + e (source).
    offsets : list of (z, y, x) or None
        One a channel, instead of the two above: the value at v speaks of v and v + offset, so that (-1, 0, 0) is the z edge
        at its destination and (1, 0, 0) at its source. Channels of longer or diagonal offsets are ignored.

    Raises
    ------
    VolumeError
        No channel axis, another dtype, another number of channels than three (or than offsets), or an axis without a
        nearest-neighbour channel. Values outside 0..1 are found when they are read.
    """
    where = volume.uri
    if volume.channels is None:
        raise VolumeError(f"{where} has the axes zyx; affinities need a channel axis (c, z, y, x), one channel an axis")
    if volume.dtype.kind != "f" and volume.dtype != np.uint8:
        raise VolumeError(f"{where} holds {volume.dtype}; affinities are uint8 (0 to 255) or floats (0 to 1)")
    if offsets is not None:
        return AffinityVolume(volume, *_nearest(offsets, volume))
    if volume.channels != 3:
        raise VolumeError(
            f"{where} has {volume.channels} channels, not 3: give `offsets`, one (z, y, x) a channel, to say which are the "
            "nearest neighbours"
        )
    if channel_order not in ("zyx", "xyz") or value_at not in ("destination", "source"):
        raise VolumeError(
            f"channel_order is 'zyx' or 'xyz' and value_at 'destination' or 'source', not {channel_order!r} and {value_at!r}"
        )
    return AffinityVolume(volume, [channel_order.index(a) for a in "zyx"], (value_at, value_at, value_at))


def _nearest(offsets: Sequence[Sequence[int]], volume: Volume) -> tuple[list[int], list[Side]]:
    """The channel and the side of each axis, from one offset a channel; the first one counts where two say the same edge."""
    given = [tuple(int(n) for n in o) for o in offsets]
    if len(given) != volume.channels or any(len(o) != 3 for o in given):
        raise VolumeError(
            f"{volume.uri} has {volume.channels} channels, and {len(given)} offsets were given: one (z, y, x) a channel"
        )
    channels: list[int] = []
    sides: list[Side] = []
    for axis, name in enumerate("zyx"):
        before = tuple(-1 if a == axis else 0 for a in range(3))
        after = tuple(-n for n in before)
        found = [c for c, o in enumerate(given) if o in (before, after)]
        if not found:
            raise VolumeError(
                f"{volume.uri}: none of the offsets is {list(before)} or {list(after)}, so there is no affinity along {name}"
            )
        channels.append(found[0])
        sides.append("destination" if given[found[0]] == before else "source")
    return channels, sides


def affinities_as_uint8(stored: np.ndarray, box: Box, where: str) -> np.ndarray:
    """Stored affinities as uint8, floats as round(255 a); ``box`` of the volume ``where`` is what they are, for the error.

    Raises
    ------
    VolumeError
        A float outside 0..1, NaN included.
    """
    if stored.dtype == np.uint8:
        return stored
    # numba has no arithmetic on float16; float32 holds each of its values.
    values = stored.astype(np.float32) if stored.dtype == np.float16 else stored
    flat = np.ascontiguousarray(values).reshape(-1)
    out = np.empty(flat.shape, np.uint8)
    wrong = _round_to_uint8(flat, out)
    if wrong >= 0:
        raise VolumeError(
            f"{where} holds the affinity {flat[wrong]} in {box} (zyx voxels): floats must lie within 0 and 1"
        )
    return out.reshape(stored.shape)


@kernel
def _round_to_uint8(values: np.ndarray, out: np.ndarray) -> int:
    """Round 255 a, ties to even, of each value; gives the index of the first outside 0..1 (NaN too), or -1.

    In float64, where 255 a is exact for every float32: the rounding is the same on every machine.
    """
    for i in range(values.size):
        value = values[i]
        if not (value >= 0 and value <= 1):
            return i
        out[i] = np.uint8(np.rint(255.0 * np.float64(value)))
    return -1
