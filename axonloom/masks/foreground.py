"""Where affinities or grey levels are high, after smoothing: one block at a time, with the bytes of the whole volume."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from axonloom.geometry import Box, Zyx

#: Where the gaussian is cut off, in sigmas (scipy's default).
TRUNCATE = 4.0

REDUCTIONS = {"mean": np.mean, "min": np.min, "max": np.max}


def halo_of(sigma: Sequence[float]) -> Zyx:
    """Voxels beyond a block that smoothing looks at (z, y, x)."""
    z, y, x = (int(TRUNCATE * s + 0.5) if s else 0 for s in sigma)
    return z, y, x


def foreground(
    values: np.ndarray, read: Box, core: Box, *, reduce: str, sigma: Sequence[float], threshold: float, below: bool
) -> np.ndarray:
    """Whether each voxel of ``core`` belongs to the mask: bool (z, y, x).

    Parameters
    ----------
    values : (z, y, x) or (c, z, y, x)
        Voxels of ``read``: the core with :func:`halo_of` around it, within the volume, which is mirrored at its ends.
    reduce : str
        What becomes of channels: of :data:`REDUCTIONS`.
    sigma : (z, y, x) voxels
        Of the gaussian; 0: none along that axis.
    threshold : float
        0..1, of the full scale of whole numbers; floats are taken as they are.
    below : bool
        The mask is where values lie below the threshold, instead of at it and above.
    """
    scale = float(np.iinfo(values.dtype).max) if values.dtype.kind in "ui" else 1.0
    grey = REDUCTIONS[reduce](values.astype(np.float64), axis=0) if values.ndim == 4 else values.astype(np.float64)
    for axis, each in enumerate(sigma):
        if each:
            grey = ndimage.gaussian_filter1d(grey, each, axis=axis, mode="reflect", truncate=TRUNCATE)
    found = grey[core.slices_in(read)] >= threshold * scale
    return ~found if below else found
