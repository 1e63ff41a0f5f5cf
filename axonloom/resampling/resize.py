"""A box of a resized volume, from the voxels under it.

Values are those of scikit-image's ``resize`` (mode symmetric) over the whole volume, to rounding errors of float64: a gaussian, then linear
interpolation or cubic splines, with the volume mirrored at its ends. A box is computed in tiles of :data:`TILE` new voxels from the
volume's first one on, each by itself: so its bytes are the same whichever box it is asked for in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import cast

import numpy as np
from scipy import ndimage

from axonloom.geometry import BlockGrid, Box, Zyx
from axonloom.resampling.axis import SPLINE_REACH, TRUNCATE, ResampledAxis

#: New voxels that are computed at once along each axis.
TILE = 64

Read = Callable[[Box], np.ndarray]


def resized_labels(read: Read, axes: Sequence[ResampledAxis], box: Box) -> np.ndarray:
    """Each new voxel of ``box`` (new voxels): the id of the old one that holds its centre.

    Parameters
    ----------
    read : voxels of a box of the old volume, (z, y, x) or (c, z, y, x) of any dtype
    """
    at = [axis.nearest(a, b) for axis, a, b in zip(axes, box.origin, box.stop, strict=True)]
    under = Box(start=[int(p[0]) for p in at], end=[int(p[-1]) + 1 for p in at])
    found = read(under)
    z, y, x = (p - p[0] for p in at)
    return np.ascontiguousarray(found[..., z[:, None, None], y[:, None], x])


def resized_image(read: Read, axes: Sequence[ResampledAxis], box: Box, order: int, anti_aliasing: bool) -> np.ndarray:
    """New voxels of ``box``, whose corners lie on tiles or at the volume's end; of the dtype that ``read`` gives, whole numbers rounded.

    Parameters
    ----------
    read : voxels of a box of the old volume, (z, y, x) or (c, z, y, x), integers or floats
    order : 1 linear, 3 cubic splines
    anti_aliasing : whether axes that become coarser are smoothed first
    """
    whole = Box.of_shape([axis.new_size for axis in axes])
    tiles = BlockGrid(whole, (TILE, TILE, TILE))
    found: np.ndarray | None = None
    for index in tiles.blocks_touching(box):
        core = tiles.block(index).core
        if not box.contains(core):
            raise ValueError(f"{box} cuts through the tile {core}")
        values = _tile(read, axes, core, order, anti_aliasing)
        if found is None:
            found = np.empty((*values.shape[:-3], *box.shape), values.dtype)
        found[(..., *core.slices_in(box))] = values
    assert found is not None
    return found


def _tile(read: Read, axes: Sequence[ResampledAxis], core: Box, order: int, anti_aliasing: bool) -> np.ndarray:
    sigmas = [axis.sigma if anti_aliasing else 0.0 for axis in axes]
    reaches = [_reach(sigma) + (SPLINE_REACH if order == 3 else 0) for sigma in sigmas]
    ends = [axis.needed(a, b, r) for axis, a, b, r in zip(axes, core.origin, core.stop, reaches, strict=True)]
    under = Box(start=[a for a, _ in ends], end=[b for _, b in ends])
    given = read(under)
    values = given.astype(np.float64)
    lead = values.ndim - 3
    for number, axis in enumerate(axes):
        values = _along(values, axis, number + lead, ends[number][0], core.origin[number], core.stop[number],
                        order, sigmas[number])  # fmt: skip
    return _back(values, given.dtype)


def _reach(sigma: float) -> int:
    return int(TRUNCATE * sigma + 0.5) if sigma else 0


def _along(
    values: np.ndarray, axis: ResampledAxis, dimension: int, first: int, start: int, stop: int, order: int, sigma: float
) -> np.ndarray:
    """New voxels ``start`` to ``stop`` along one dimension of ``values``, which holds the old ones from ``first`` on."""
    if sigma:
        # Where the array ends within the volume the mirror is wrong, over as many voxels as were read beyond what is needed.
        values = ndimage.gaussian_filter1d(values, sigma, axis=dimension, mode="reflect", truncate=TRUNCATE)
    if order == 3 and values.shape[dimension] > 1:
        values = ndimage.spline_filter1d(values, 3, axis=dimension, mode="reflect")
    positions = axis.positions(start, stop)
    below = np.floor(positions).astype(np.int64)
    fraction = positions - below
    if order == 1:
        weights = {0: 1 - fraction, 1: fraction}
    else:
        # The cubic B-spline at the four coefficients around a position.
        f, g = fraction, 1 - fraction
        weights = {-1: g**3 / 6, 0: 2 / 3 - f**2 * (2 - f) / 2, 1: 2 / 3 - g**2 * (2 - g) / 2, 2: f**3 / 6}
    shape = [1] * values.ndim
    shape[dimension] = stop - start
    found: np.ndarray | float = 0.0
    for offset, weight in weights.items():
        picked = np.take(values, _mirrored(below + offset, axis.size) - first, axis=dimension)
        found = found + picked * weight.reshape(shape)
    return cast(np.ndarray, found)


def _mirrored(indices: np.ndarray, size: int) -> np.ndarray:
    """Where voxels beyond the ends are found: … 1 0 | 0 1 … n-1 | n-1 n-2 …"""
    folded = indices % (2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded)


def _back(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """In the image's own type: whole numbers rounded, and kept within what the type holds."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)


def tiles_in(block: Zyx) -> Zyx:
    """The smallest block of whole tiles that is not smaller than ``block``."""
    z, y, x = (ceil(n / TILE) * TILE for n in block)
    return z, y, x
