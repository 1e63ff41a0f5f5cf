"""Random numbers that are a function of a place: no state, no order, no size of anything.

A counter-based generator (Salmon et al. 2011) in the plainest form: the coordinates of a lattice cell are multiplied into
one 64-bit word, and the finaliser of splitmix64 (Steele et al. 2014) scrambles it. Smooth noise is value noise
(Perlin 1985): hashed values on a lattice, blended by a quintic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from axonloom.kernel import inlined, kernel

# What kernels take and give: compiled, Python's and numpy's numbers are the same thing.
Whole = int | np.integer[Any]
Real = float | np.floating[Any]

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


@inlined
def scramble(word: Whole) -> Whole:
    """The finaliser of splitmix64: uint64 -> uint64, one to one."""
    word = (word ^ (word >> _S30)) * _M1
    word = (word ^ (word >> _S27)) * _M2
    return word ^ (word >> _S31)


@kernel
def cell_hash(key: Whole, a: Whole, b: Whole, c: Whole) -> Whole:
    """A uint64 for the lattice cell (a, b, c) under ``key`` (uint64)."""
    return scramble(key + np.uint64(a) * _A + scramble(np.uint64(b) * _B + scramble(np.uint64(c) * _C + _A)))


@inlined
def fast_hash(key: Whole, a: Whole, b: Whole, c: Whole) -> Whole:
    """As :func:`cell_hash` with one scrambling instead of three: good enough for grey values."""
    return scramble(key ^ (np.uint64(a) * _A + np.uint64(b) * _B + np.uint64(c) * _C))


@inlined
def unit(word: Whole) -> Real:
    """A float64 in [0, 1) from a uint64."""
    return float(np.int64(word >> _S11)) * _TO_UNIT


@inlined
def draw(word: Whole, number: Whole) -> Real:
    """The ``number``-th float64 in [0, 1) that belongs to the hash ``word``."""
    return unit(scramble(word + np.uint64(number) * _A))


@kernel
def white(key: Whole, z: Whole, y: Whole, x: Whole) -> Real:
    """About normal noise, variance 1: the sum of four 16-bit pieces of one hash."""
    word = fast_hash(key, z, y, x)
    low = np.uint64(0xFFFF)
    total = (word & low) + ((word >> np.uint64(16)) & low) + ((word >> np.uint64(32)) & low) + (word >> np.uint64(48))
    return (float(np.int64(total)) - 131070.0) * (1.7320508075688772 / 65536.0)


@kernel
def smooth(key: Whole, z: Real, y: Real, x: Real) -> Real:
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


@inlined
def _mixed(low: Whole, high: Whole, weight: Real) -> Real:
    a, b = unit(scramble(low)), unit(scramble(high))
    return a + weight * (b - a)
