"""Volumes zoomed and grown part by part, to what ``scipy.ndimage.zoom`` and ``numpy.pad`` give of the whole.

PyTorch Connectomics zooms a volume in memory. Here each part of the result reads what it needs of the source: the filter in front of cubic
splines (Unser et al. 1993, "B-spline signal processing") forgets what is farther than :data:`REACH` voxels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from scipy import ndimage

from axonloom.geometry import Box, Zyx

REACH = 24  # voxels; the filter falls by 0.27 a voxel, to 1e-14
PART = (64, 256, 256)  # voxels of the result that are made at once, a multiple of its chunks

Read = Callable[[Box], np.ndarray]


@dataclass(frozen=True)
class Resampling:
    """A zoom, then voxels of reflection around.

    Attributes
    ----------
    shape : (z, y, x) of the source
    scale : (z, y, x)
        How many voxels become of one.
    pad : (z, y, x)
        Voxels of reflection on each side.
    order : {0, 3}
        Nearest voxel, for labels and masks, or cubic splines.
    """

    shape: Zyx
    scale: Sequence[float] = (1.0, 1.0, 1.0)
    pad: Sequence[int] = (0, 0, 0)
    order: Literal[0, 3] = 3

    @property
    def zoomed(self) -> Zyx:
        return cast(Zyx, tuple(max(round(n * s), 1) for n, s in zip(self.shape, self.scale, strict=True)))

    @property
    def result(self) -> Zyx:
        return cast(Zyx, tuple(n + 2 * p for n, p in zip(self.zoomed, self.pad, strict=True)))

    def part(self, read: Read, box: Box) -> np.ndarray:
        """What lies in ``box`` of the result, of the dtype that ``read`` (a box of the source) gives; integers are rounded."""
        reflected = [
            np.pad(np.arange(n), p, mode="reflect")[a:b]
            for n, p, a, b in zip(self.zoomed, self.pad, box.origin, box.stop, strict=True)
        ]
        lows = [int(each.min()) for each in reflected]
        places = [
            _places(n, m)[low : int(each.max()) + 1]
            for n, m, low, each in zip(self.shape, self.zoomed, lows, reflected, strict=True)
        ]
        made = self._nearest(read, places) if self.order == 0 else self._splines(read, places)
        return made[np.ix_(*(each - low for each, low in zip(reflected, lows, strict=True)))]

    def _nearest(self, read: Read, places: Sequence[np.ndarray]) -> np.ndarray:
        taken = [np.floor(each + 0.5).astype(np.int64) for each in places]
        array = read(Box(start=[int(t[0]) for t in taken], end=[int(t[-1]) + 1 for t in taken]))
        return array[np.ix_(*(t - t[0] for t in taken))]

    def _splines(self, read: Read, places: Sequence[np.ndarray]) -> np.ndarray:
        changed = [n != m for n, m in zip(self.shape, self.zoomed, strict=True)]
        start, end = [], []
        for each, moves, n in zip(places, changed, self.shape, strict=True):
            start.append(max(int(each[0]) - 1 - REACH, 0) if moves else int(each[0]))
            end.append(min(int(each[-1]) + 3 + REACH, n) if moves else int(each[-1]) + 1)
        array = read(Box(start=start, end=end))
        dtype = array.dtype
        if not any(changed):
            return array
        values = array.astype(np.float64)
        for axis, moves in enumerate(changed):
            if moves and self.shape[axis] > 1:
                values = ndimage.spline_filter1d(values, 3, axis, mode="mirror")
                weights = _weights(places[axis], self.shape[axis], start[axis], end[axis])
                values = np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)
            elif moves:
                values = np.repeat(values, len(places[axis]), axis)
        if dtype.kind not in "ui":
            return values.astype(dtype)
        range_of = np.iinfo(dtype)
        return np.clip(np.floor(values + 0.5), range_of.min, range_of.max).astype(dtype)


def _places(size: int, zoomed: int) -> np.ndarray:
    """Where the voxels of the zoomed axis lie in the source: the first on the first, the last on the last."""
    if zoomed == 1 or size == zoomed:
        return np.arange(zoomed, dtype=np.float64)
    return np.minimum(np.arange(zoomed) * ((size - 1) / (zoomed - 1)), size - 1)


def _weights(places: np.ndarray, size: int, start: int, end: int) -> np.ndarray:
    """What each coefficient ``start`` to ``end`` of an axis of ``size`` voxels adds at ``places``: (places, coefficients)."""
    first = np.floor(places).astype(np.int64)
    t = places - first
    basis = [(1 - t) ** 3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6, (1 + 3 * t + 3 * t**2 - 3 * t**3) / 6, t**3 / 6]
    weights = np.zeros((len(places), end - start))
    for k, each in enumerate(basis):
        index = np.abs(first - 1 + k)  # the source goes on mirrored beyond its ends
        index = np.where(index > size - 1, 2 * (size - 1) - index, index)
        np.add.at(weights, (np.arange(len(places)), index - start), each)
    return weights
