"""Reading past a volume's edge by reflection."""

from __future__ import annotations

import numpy as np

from axonloom.geometry import Box
from axonloom.volumes.volume import Volume


def reflected(start: int, stop: int, size: int) -> np.ndarray:
    """Voxel numbers (int64) that ``start <= i < stop`` show along an axis of ``size`` voxels.

    Inside the axis each number is itself. Outside it is mirrored at the first and last voxel, which are not repeated, as
    often as needed (numpy's ``reflect``); an axis of one voxel repeats it.
    """
    index = np.arange(start, stop, dtype=np.int64)
    if size == 1:
        return np.zeros_like(index)
    index = np.mod(index, 2 * (size - 1))
    return np.minimum(index, 2 * (size - 1) - index)


def read_reflected(volume: Volume, box: Box) -> np.ndarray:
    """Voxels of ``box``, which may reach outside ``volume``: (c, z, y, x), one channel where the volume has none.

    Reflection happens at the volume's true edge only, so two blocks that read the same voxel, real or reflected, read the
    same value. The volume is read once, and only where the box needs it.
    """
    index = [reflected(a, b, n) for a, b, n in zip(box.origin, box.stop, volume.shape, strict=True)]
    source = Box(start=[int(i.min()) for i in index], end=[int(i.max()) + 1 for i in index])
    voxels = volume.read(source)
    if volume.channels is None:
        voxels = voxels[None]
    if source == box:
        return voxels
    for axis, (i, low) in enumerate(zip(index, source.origin, strict=True)):
        if len(i) != voxels.shape[axis + 1] or i[0] != low:
            voxels = np.take(voxels, i - low, axis=axis + 1)
    return voxels
