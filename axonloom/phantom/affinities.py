"""Affinities of a phantom: perfect ones, and ones with the mistakes that networks make.

Channel c at a voxel is the edge to the neighbour before it on axis c (z, y, x), stored at the voxel; the first plane of the
volume on axis c has no such neighbour and is 0.
"""

from __future__ import annotations

import numpy as np

from axonloom.kernel import inlined, kernel
from axonloom.phantom.noise import Real, Whole, fast_hash, scramble, smooth, unit


@kernel
def perfect(labels: np.ndarray, first: np.ndarray, out: np.ndarray) -> None:
    """255 where an edge stays inside one label, else 0, into ``out`` (3, z, y, x) uint8.

    ``labels`` is as large as ``out`` plus margins; ``first`` (3,) is where the first voxel of ``out`` lies in it. An axis on
    which it is 0 begins at the volume's edge.
    """
    for z in range(out.shape[1]):
        for y in range(out.shape[2]):
            for x in range(out.shape[3]):
                for axis in range(3):
                    out[axis, z, y, x] = 255 if _joined(labels, z + first[0], y + first[1], x + first[2], axis) else 0


@inlined
def _joined(labels: np.ndarray, z: Whole, y: Whole, x: Whole, axis: Whole) -> bool:
    """Whether the edge before this voxel is inside one label; False where there is none."""
    dz, dy, dx = int(axis == 0), int(axis == 1), int(axis == 2)
    if z < dz or y < dy or x < dx:
        return False
    here = labels[z, y, x]
    return here != 0 and here == labels[z - dz, y - dy, x - dx]


@kernel
def degraded(
    key: Whole,
    labels: np.ndarray,
    first: np.ndarray,
    origin: np.ndarray,
    voxel: np.ndarray,
    grain: Real,
    holes: Real,
    false_membranes: Real,
    out: np.ndarray,
) -> None:
    """As :func:`perfect`, with mistakes, into ``out`` (3, z, y, x) uint8; ``origin``: zyx voxel of its first voxel.

    Edges near a surface are unsure; smooth and fine noise everywhere; ``holes`` (0..1) is the strength of patches where a
    membrane is not seen, ``false_membranes`` (0..1) that of sheets seen inside neurites; ``grain`` (0..1) that of the noise.
    ``labels`` reaches two voxels beyond ``out`` wherever the volume does.
    """
    k1, k2, k3, k4 = (
        scramble(key),
        scramble(key + np.uint64(1)),
        scramble(key + np.uint64(2)),
        scramble(key + np.uint64(3)),
    )
    shape = labels.shape
    for z in range(out.shape[1]):
        for y in range(out.shape[2]):
            for x in range(out.shape[3]):
                gz, gy, gx = z + origin[0], y + origin[1], x + origin[2]
                rz, ry, rx = gz * voxel[0], gy * voxel[1], gx * voxel[2]
                # Turned, so that the lattices of the noises do not lie along the image's axes.
                pz = 0.48 * rz + 0.60 * ry + 0.64 * rx
                py = 0.64 * rz - 0.77 * ry + 0.24 * rx
                px = 0.60 * rz + 0.22 * ry - 0.73 * rx
                wave = smooth(k1, pz / 70.0, py / 70.0, px / 70.0)
                sheet = smooth(k2, pz / 330.0, py / 330.0, px / 330.0)
                patch = smooth(k3, pz / 240.0, py / 240.0, px / 240.0)
                word = fast_hash(k4, gz, gy, gx)
                for axis in range(3):
                    lz, ly, lx = z + first[0], y + first[1], x + first[2]
                    at = (lz, ly, lx)
                    if at[axis] == 0:
                        out[axis, z, y, x] = 0
                        continue
                    word = scramble(word)
                    shake = grain * (0.16 * wave + 0.14 * (unit(word) - 0.5))
                    if _joined(labels, lz, ly, lx, axis):
                        value = 0.94 + shake - 0.10 * grain
                        dz, dy, dx = int(axis == 0), int(axis == 1), int(axis == 2)
                        if at[axis] > 1 and not _joined(labels, lz - dz, ly - dy, lx - dx, axis):
                            value -= 0.22 * grain
                        if at[axis] + 1 < shape[axis] and not _joined(labels, lz + dz, ly + dy, lx + dx, axis):
                            value -= 0.22 * grain
                        if patch < -0.35:
                            strength = min(1.0, (-0.35 - patch) * 6.0) * np.exp(-((sheet / 0.06) ** 2))
                            value -= false_membranes * 0.75 * strength
                    else:
                        value = 0.06 + shake + 0.10 * grain
                        if patch > 0.45:
                            value += holes * 0.8 * min(1.0, (patch - 0.45) * 6.0)
                    out[axis, z, y, x] = np.uint8(255.0 * min(1.0, max(0.0, value)) + 0.5)
