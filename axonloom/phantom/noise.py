"""Random numbers that are a function of a place: no state, no order, no size of anything.

A counter-based generator (Salmon et al. 2011) in the plainest form: the coordinates of a lattice cell are multiplied into
one 64-bit word, and the finaliser of splitmix64 (Steele et al. 2014) scrambles it. Smooth noise is value noise
(Perlin 1985): hashed values on a lattice, blended by a quintic.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_A = np.uint64(0x9E3779B97F4A7C15)
_B = np.uint64(0xC2B2AE3D27D4EB4F)
_C = np.uint64(0x165667B19E3779F9)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S30 = np.uint64(30)
_S27 = np.uint64(27)
_S31 = np.uint64(31)
_S11 = np.uint64(11)
_TO_UNIT = 1.0 / 9007199254740992.0


@njit(nogil=True, cache=True, inline="always")
def scramble(word: int) -> int:
    """The finaliser of splitmix64: uint64 -> uint64, one to one."""
    word = (word ^ (word >> _S30)) * _M1
    word = (word ^ (word >> _S27)) * _M2
    return word ^ (word >> _S31)


@njit(nogil=True, cache=True)
def cell_hash(key: int, a: int, b: int, c: int) -> int:
    """A uint64 for the lattice cell (a, b, c) under ``key`` (uint64)."""
    return scramble(key + np.uint64(a) * _A + scramble(np.uint64(b) * _B + scramble(np.uint64(c) * _C + _A)))


@njit(nogil=True, cache=True, inline="always")
def fast_hash(key: int, a: int, b: int, c: int) -> int:
    """As :func:`cell_hash` with one scrambling instead of three: good enough for grey values."""
    return scramble(key ^ (np.uint64(a) * _A + np.uint64(b) * _B + np.uint64(c) * _C))


@njit(nogil=True, cache=True, inline="always")
def unit(word: int) -> float:
    """A float64 in [0, 1) from a uint64."""
    return float(np.int64(word >> _S11)) * _TO_UNIT


@njit(nogil=True, cache=True, inline="always")
def draw(word: int, number: int) -> float:
    """The ``number``-th float64 in [0, 1) that belongs to the hash ``word``."""
    return unit(scramble(word + np.uint64(number) * _A))


@njit(nogil=True, cache=True)
def white(key: int, z: int, y: int, x: int) -> float:
    """About normal noise, variance 1: the sum of four 16-bit pieces of one hash."""
    word = fast_hash(key, z, y, x)
    low = np.uint64(0xFFFF)
    total = (word & low) + ((word >> np.uint64(16)) & low) + ((word >> np.uint64(32)) & low) + (word >> np.uint64(48))
    return (float(np.int64(total)) - 131070.0) * (1.7320508075688772 / 65536.0)


@njit(nogil=True, cache=True)
def smooth(key: int, z: float, y: float, x: float) -> float:
    """Value noise in (-1, 1) at a point, the lattice spacing being 1."""
    fz, fy, fx = np.floor(z), np.floor(y), np.floor(x)
    iz, iy, ix = np.int64(fz), np.int64(fy), np.int64(fx)
    z, y, x = z - fz, y - fy, x - fx
    wz = z * z * z * (z * (z * 6.0 - 15.0) + 10.0)
    wy = y * y * y * (y * (y * 6.0 - 15.0) + 10.0)
    wx = x * x * x * (x * (x * 6.0 - 15.0) + 10.0)
    az0, az1 = np.uint64(iz) * _A, np.uint64(iz + 1) * _A
    by0, by1 = np.uint64(iy) * _B, np.uint64(iy + 1) * _B
    cx0, cx1 = np.uint64(ix) * _C, np.uint64(ix + 1) * _C
    v00 = _mixed(key ^ (az0 + by0 + cx0), key ^ (az0 + by0 + cx1), wx)
    v01 = _mixed(key ^ (az0 + by1 + cx0), key ^ (az0 + by1 + cx1), wx)
    v10 = _mixed(key ^ (az1 + by0 + cx0), key ^ (az1 + by0 + cx1), wx)
    v11 = _mixed(key ^ (az1 + by1 + cx0), key ^ (az1 + by1 + cx1), wx)
    v0 = v00 + wy * (v01 - v00)
    v1 = v10 + wy * (v11 - v10)
    return 2.0 * (v0 + wz * (v1 - v0)) - 1.0


@njit(nogil=True, cache=True, inline="always")
def _mixed(low: int, high: int, weight: float) -> float:
    a, b = unit(scramble(low)), unit(scramble(high))
    return a + weight * (b - a)


@njit(nogil=True, cache=True)
def warp(key: int, octaves: np.ndarray, point: np.ndarray, out: np.ndarray) -> None:
    """``point`` (3,) nm displaced by smooth noise, into ``out`` (3,). ``octaves`` (n, 2): wavelength and amplitude in nm.

    Continuous, and one to one while the slopes of the octaves (about 2 x amplitude / wavelength) add to less than 1.
    """
    for axis in range(3):
        out[axis] = point[axis]
    for n in range(octaves.shape[0]):
        length, height = octaves[n, 0], octaves[n, 1]
        for axis in range(3):
            word = scramble(key + np.uint64(3 * n + axis + 1) * _C)
            shift = 0.37 * (axis + 1)
            out[axis] += height * smooth(
                word, point[0] / length + shift, point[1] / length + shift, point[2] / length + shift
            )
