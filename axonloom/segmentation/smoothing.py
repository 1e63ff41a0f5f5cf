"""Gaussian smoothing of affinities in integers, the same bits in every block.

Separable, with weights that sum to a power of two; the values keep 8 bits below the stored ones, so that smoothing parts the
ties that 8-bit affinities are full of. Only the watershed sees them: statistics are taken from the raw affinities.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation, localcontext
from math import ceil
from typing import cast

import numpy as np

from axonloom.geometry import Box, Zyx
from axonloom.kernel import kernel

FRACTION_BITS = 8
"""Bits that smoothed affinities keep below one step of the stored ones: 255 becomes 65280."""
WEIGHT_BITS = 12
LARGEST_SIGMA = 16

Sigma = Decimal | str | float | Sequence[Decimal | str | float]


def sigmas(smoothing: Sigma | None) -> tuple[Decimal, Decimal, Decimal]:
    """Standard deviations along z, y and x, in voxels: one number for all, or three; None is no smoothing.

    Raises
    ------
    ValueError
        Not numbers of 0 to 16.
    """
    if smoothing is None:
        return Decimal(0), Decimal(0), Decimal(0)
    given = [smoothing] * 3 if isinstance(smoothing, Decimal | str | float | int) else list(smoothing)
    try:
        values = [Decimal(str(s)) for s in given]
    except InvalidOperation:
        raise ValueError(f"smoothing is a sigma in voxels, or three of them (z, y, x), not {smoothing!r}") from None
    if len(values) != 3 or not all(s.is_finite() and 0 <= s <= LARGEST_SIGMA for s in values):
        raise ValueError(f"smoothing is a sigma of 0 to {LARGEST_SIGMA} voxels, or three of them, not {smoothing!r}")
    return values[0], values[1], values[2]


def radii(smoothing: Sigma | None) -> Zyx:
    """How many voxels the smoothing reaches along z, y and x: three standard deviations, rounded up."""
    return cast(Zyx, tuple(ceil(3 * s) for s in sigmas(smoothing)))


def is_smoothing(smoothing: Sigma | None) -> bool:
    """Whether any axis is smoothed at all."""
    return any(s > 0 for s in sigmas(smoothing))


def gaussian(sigma: Decimal) -> np.ndarray:
    """One half of a Gaussian: uint32 weights of offsets 0, 1, ..., radius; the whole of it sums to 2**12.

    In decimal arithmetic, which is specified to the last digit: a float exponential may differ between machines.
    """
    total = 2**WEIGHT_BITS
    radius = ceil(3 * sigma)
    with localcontext() as context:
        context.prec = 30
        exact = [(-Decimal(i * i) / (2 * sigma * sigma)).exp() if sigma else Decimal(1) for i in range(radius + 1)]
        whole = exact[0] + 2 * sum(exact[1:], Decimal(0))
        weights = [int((total * e / whole).to_integral_value()) for e in exact]
    weights[0] = total - 2 * sum(weights[1:])
    return np.array(weights, np.uint32)


def smooth(affinities: np.ndarray, read: Box, out: Box, region: Box, smoothing: Sigma) -> np.ndarray:
    """Smoothed affinities of the voxels of ``out``.

    The volume is continued by reflection at the edges of ``region``, and nowhere else. Channel c's first plane along axis c
    is no edge and takes no part: along that axis the reflection starts at the second plane.

    Parameters
    ----------
    affinities : uint8 (3, z, y, x)
        The raw affinities of ``read``, which holds ``out`` grown by the kernel's radius and clipped to ``region``.
    read, out, region : Box
        In voxels of the volume.
    smoothing : sigma
        See :func:`sigmas`.

    Returns
    -------
    uint16 (3, z, y, x)
        256 times the affinity. Planes that are no edges hold anything.
    """
    sigma_z, sigma_y, sigma_x = sigmas(smoothing)
    kernels = (gaussian(sigma_z), gaussian(sigma_y), gaussian(sigma_x))
    result = np.empty((3, *out.shape), np.uint16)
    for channel in range(3):
        from_z, from_y, from_x = (
            _sources(out, read, region, axis, len(kernels[axis]) - 1, 1 if axis == channel else 0) for axis in range(3)
        )
        _smooth_channel(affinities[channel], from_z, from_y, from_x, *kernels, result[channel])
    return result


def _sources(out: Box, read: Box, region: Box, axis: int, radius: int, skip: int) -> np.ndarray:
    """For output positions from -radius on along an axis, where in ``read`` the value lies (int64), after reflection."""
    first, last = region.origin[axis] + skip, region.stop[axis]
    if last <= first:
        return np.zeros(out.shape[axis] + 2 * radius, np.int64)
    wanted = np.arange(out.origin[axis] - radius, out.stop[axis] + radius)
    n = last - first
    phase = (wanted - first) % (2 * n)
    reflected = first + np.where(phase < n, phase, 2 * n - 1 - phase)
    return np.clip(reflected - read.origin[axis], 0, read.shape[axis] - 1)


@kernel
def _smooth_channel(raw, from_z, from_y, from_x, weights_z, weights_y, weights_x, out) -> None:
    depth, height, width = out.shape
    radius_z, radius_y, radius_x = len(weights_z) - 1, len(weights_y) - 1, len(weights_x) - 1
    wide = raw.shape[2]
    along_z = np.empty((raw.shape[1], wide), np.uint32)
    along_y = np.empty(wide, np.uint32)
    row = np.empty(width + 2 * radius_x, np.uint32)
    half = np.uint32(1 << (WEIGHT_BITS - 1))
    lift = np.uint32(WEIGHT_BITS - FRACTION_BITS)
    half_lift = np.uint32(1 << (WEIGHT_BITS - FRACTION_BITS - 1))
    bits = np.uint32(WEIGHT_BITS)
    for z in range(depth):
        for y in range(raw.shape[1]):
            plane = along_z[y]
            centre = raw[from_z[z + radius_z], y]
            for x in range(wide):
                plane[x] = weights_z[0] * np.uint32(centre[x])
            for i in range(1, radius_z + 1):
                below, above = raw[from_z[z + radius_z - i], y], raw[from_z[z + radius_z + i], y]
                weight = weights_z[i]
                for x in range(wide):
                    plane[x] += weight * (np.uint32(below[x]) + np.uint32(above[x]))
            for x in range(wide):
                plane[x] = (plane[x] + half_lift) >> lift
        for y in range(height):
            centre_row = along_z[from_y[y + radius_y]]
            for x in range(wide):
                along_y[x] = weights_y[0] * centre_row[x]
            for i in range(1, radius_y + 1):
                below_row, above_row = along_z[from_y[y + radius_y - i]], along_z[from_y[y + radius_y + i]]
                weight = weights_y[i]
                for x in range(wide):
                    along_y[x] += weight * (below_row[x] + above_row[x])
            for x in range(width + 2 * radius_x):
                row[x] = (along_y[from_x[x]] + half) >> bits
            target = out[z, y]
            for x in range(width):
                total = weights_x[0] * row[x + radius_x]
                for i in range(1, radius_x + 1):
                    total += weights_x[i] * (row[x + radius_x - i] + row[x + radius_x + i])
                target[x] = np.uint16((total + half) >> bits)
