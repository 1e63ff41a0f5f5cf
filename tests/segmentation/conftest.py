"""What the tests of segmentation share."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest


@pytest.fixture(scope="session")
def fly_affinities(shared: Path) -> np.ndarray:
    """A real predicted boundary as affinities: 1 minus the larger boundary of an edge's two voxels."""
    with h5py.File(shared / "data" / "gala_fly" / "train.h5") as file:
        boundary = file["volumes/predictions/boundary"][:]
    affinities = np.zeros((3, *boundary.shape), np.uint8)
    for c in range(3):
        after = tuple(slice(1, None) if k == c else slice(None) for k in range(3))
        before = tuple(slice(None, -1) if k == c else slice(None) for k in range(3))
        affinities[c][after] = np.rint(255 * (1 - np.maximum(boundary[after], boundary[before])))
    return affinities
