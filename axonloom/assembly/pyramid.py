"""Smaller copies of a volume, for viewing from afar: labels by the most frequent value, images by the mean.

A cell of the smaller volume depends on its own voxels only, so a block whose core starts at multiples of the factor gives the
same cells as the whole volume; cells at ragged ends are made of the voxels that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import tensorstore as ts

from axonloom.geometry import Box, Zyx

Method = Literal["mode", "mean"]


def downsample(array: np.ndarray, factor: Sequence[int], method: Method, threads: int = 1) -> np.ndarray:
    """One value for each cell of ``factor`` voxels.

    Parameters
    ----------
    array : (z, y, x) or (c, z, y, x)
    factor : (z, y, x)
        Voxels that become one.
    method : {"mode", "mean"}
        The most frequent value, of equally frequent ones the smallest; or the mean, of integers rounded (halves to even).
    threads : int
        Processor cores to use; the result does not depend on it.

    Returns
    -------
    Array of the same dtype; each axis divided by its factor, rounded up.
    """
    if array.ndim not in (3, 4) or len(factor) != 3 or min(factor) < 1:
        raise ValueError(
            f"an array (z, y, x) or (c, z, y, x) is made smaller by three whole factors, not {array.shape} by {factor}"
        )
    context = ts.Context({"data_copy_concurrency": {"limit": threads}})
    source = ts.array(np.ascontiguousarray(array), context=context)
    by = [*[1] * (array.ndim - 3), *factor]
    return ts.downsample(source, by, method=method).read().result()


def downsampled_shape(shape: Sequence[int], factor: Sequence[int]) -> Zyx:
    """Voxels (zyx) of the smaller copy of a volume of this shape."""
    z, y, x = (-(-n // f) for n, f in zip(shape, factor, strict=True))
    return z, y, x


def finer_box(coarse: Box, factor: Sequence[int], bounds: Box) -> Box:
    """The voxels that the cells of ``coarse`` are made of; ``bounds`` is the finer volume."""
    return Box(
        start=[a * f for a, f in zip(coarse.origin, factor, strict=True)],
        end=[b * f for b, f in zip(coarse.stop, factor, strict=True)],
    ).clipped(bounds)


def coarser_box(fine: Box, factor: Sequence[int]) -> Box:
    """The cells that hold a voxel of ``fine``."""
    return Box(
        start=[a // f for a, f in zip(fine.origin, factor, strict=True)],
        end=[-(-b // f) for b, f in zip(fine.stop, factor, strict=True)],
    )


def pyramid_factor(voxel_size: tuple[float, float, float] | None) -> Zyx:
    """Factors (z, y, x) of 1 or 2 that bring the voxels nearer to cubes: a thick axis waits until the others catch up."""
    if voxel_size is None:
        return 2, 2, 2
    finest = min(voxel_size)
    z, y, x = (1 if size >= 2 * finest else 2 for size in voxel_size)
    return z, y, x
