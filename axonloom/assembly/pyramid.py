"""Smaller copies of a volume, for viewing from afar: labels by the most frequent value, images by the mean.

A cell of the smaller volume depends on its own voxels only, so a block whose core starts at multiples of the factor gives the
same cells as the whole volume; cells at ragged ends are made of the voxels that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import tensorstore as ts

from axonloom.geometry import Zyx


def downsample_labels(array: np.ndarray, factor: Sequence[int], threads: int = 1) -> np.ndarray:
    """The most frequent label of each cell of ``factor`` voxels (zyx); of equally frequent ones, the smallest.

    Parameters
    ----------
    array : integers, (z, y, x)
    factor : (z, y, x)
        Voxels that become one.
    threads : int
        Processor cores to use; the result does not depend on it.

    Returns
    -------
    Array of the same dtype; each axis divided by its factor, rounded up.
    """
    return _downsample(array, factor, "mode", threads)


def downsample_image(array: np.ndarray, factor: Sequence[int], threads: int = 1) -> np.ndarray:
    """The mean of each cell of ``factor`` voxels (zyx); integers are rounded, halves to even. See :func:`downsample_labels`."""
    return _downsample(array, factor, "mean", threads)


def downsampled_shape(shape: Sequence[int], factor: Sequence[int]) -> Zyx:
    """Voxels (zyx) of the smaller copy of a volume of this shape."""
    z, y, x = (-(-n // f) for n, f in zip(shape, factor, strict=True))
    return z, y, x


def _downsample(array: np.ndarray, factor: Sequence[int], method: Literal["mode", "mean"], threads: int) -> np.ndarray:
    if array.ndim != 3 or len(factor) != 3 or min(factor) < 1:
        raise ValueError(f"an array (z, y, x) is made smaller by three whole factors, not {array.shape} by {factor}")
    context = ts.Context({"data_copy_concurrency": {"limit": threads}})
    source = ts.array(np.ascontiguousarray(array), context=context)
    return ts.downsample(source, list(factor), method=method).read().result()
