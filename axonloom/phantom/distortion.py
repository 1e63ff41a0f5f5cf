"""The smooth distortion that bends a world of straight lattices, and boxes seen through it."""

from __future__ import annotations

import numpy as np

from axonloom.kernel import inlined, kernel
from axonloom.phantom.noise import Real, Whole, cell_hash, smooth


@kernel
def warp(key: Whole, octaves: np.ndarray, point: np.ndarray, out: np.ndarray) -> None:
    """``point`` (3,) nm displaced by smooth noise, into ``out`` (3,). ``octaves`` (n, 2): wavelength and amplitude in nm.

    Continuous, and one to one while the slopes of the octaves (about 2 x amplitude / wavelength) add to less than 1.
    """
    for axis in range(3):
        out[axis] = point[axis]
    for n in range(octaves.shape[0]):
        length, height = octaves[n, 0], octaves[n, 1]
        for axis in range(3):
            word = cell_hash(key, n, axis, 13)
            shift = 0.37 * (axis + 1)
            out[axis] += height * smooth(
                word, point[0] / length + shift, point[1] / length + shift, point[2] / length + shift
            )


@kernel
def corners_of(key: Whole, octaves: np.ndarray, start: np.ndarray, size: np.ndarray, corners: np.ndarray) -> None:
    """Distorted places of the eight corners of a box (nm), into ``corners`` (2, 2, 2, 3)."""
    point = np.empty(3)
    for a in range(2):
        for b in range(2):
            for c in range(2):
                point[0] = start[0] + a * size[0]
                point[1] = start[1] + b * size[1]
                point[2] = start[2] + c * size[2]
                warp(key, octaves, point, corners[a, b, c])


@kernel
def distorted_bounds(
    key: Whole, octaves: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A box (nm) that holds the distorted places of the box from ``low`` to ``high``, from 9 x 9 x 9 of them."""
    point, moved = np.empty(3), np.empty(3)
    first, last = np.full(3, np.inf), np.full(3, -np.inf)
    for a in range(9):
        for b in range(9):
            for c in range(9):
                point[0] = low[0] + (high[0] - low[0]) * a / 8.0
                point[1] = low[1] + (high[1] - low[1]) * b / 8.0
                point[2] = low[2] + (high[2] - low[2]) * c / 8.0
                warp(key, octaves, point, moved)
                for axis in range(3):
                    first[axis] = min(first[axis], moved[axis])
                    last[axis] = max(last[axis], moved[axis])
    return first - 60.0, last + 60.0


@kernel
def ball(corners: np.ndarray, centre: np.ndarray) -> Real:
    """The mean of eight corners into ``centre``; returns the distance to the farthest."""
    for axis in range(3):
        centre[axis] = corners[:, :, :, axis].mean()
    radius = 0.0
    for n in range(8):
        corner = corners[(n >> 2) & 1, (n >> 1) & 1, n & 1]
        radius = max(radius, np.sqrt(((corner - centre) ** 2).sum()))
    return radius


@inlined
def between(corners: np.ndarray, wz: Real, wy: Real, wx: Real, out: np.ndarray) -> None:
    """The trilinear mean of eight places into ``out`` (3,)."""
    for axis in range(3):
        a = corners[0, 0, 0, axis] * (1 - wx) + corners[0, 0, 1, axis] * wx
        b = corners[0, 1, 0, axis] * (1 - wx) + corners[0, 1, 1, axis] * wx
        c = corners[1, 0, 0, axis] * (1 - wx) + corners[1, 0, 1, axis] * wx
        d = corners[1, 1, 0, axis] * (1 - wx) + corners[1, 1, 1, axis] * wx
        out[axis] = (a * (1 - wy) + b * wy) * (1 - wz) + (c * (1 - wy) + d * wy) * wz
