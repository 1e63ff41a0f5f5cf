"""Labels grown inside their sections."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def dilated(labels: np.ndarray, radius: int) -> np.ndarray:
    """Labels (z, y, x) that take over what is within ``radius`` voxels in their section; of several the largest id wins.

    PyTorch Connectomics' ``LABEL_DILATION``.
    """
    if radius < 0:
        raise ValueError(f"a dilation radius is not negative, but {radius} was given")
    return ndimage.maximum_filter(labels, (1, 2 * radius + 1, 2 * radius + 1)) if radius else labels.copy()
