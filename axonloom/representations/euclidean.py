"""How far voxels lie from others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage


def euclidean_distance(inside: np.ndarray, spacing: Sequence[float] | None = None) -> npt.NDArray[np.float64]:
    """Of each voxel of a bool array to the nearest one that is False, in units of ``spacing`` (default: voxels); those have 0."""
    return np.asarray(ndimage.distance_transform_edt(inside, spacing), np.float64)
