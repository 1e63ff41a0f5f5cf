"""What is thin or small, and easily lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.measure import label as components

from axonloom.representations.per_voxel import PerVoxel


class SmallObjects(PerVoxel):
    """1 where a profile of an object is small in a plane along any axis. PyTorch Connectomics' target option ``3``.

    Parameters
    ----------
    voxels : int
        Profiles in a section (z plane) of fewer are small.
    anisotropy : int
        How much deeper than wide a voxel is: profiles in planes across sections are small with so many times fewer voxels.
    """

    channels = ("small",)

    def __init__(self, voxels: int = 100, anisotropy: int = 1) -> None:
        self.voxels = voxels
        self.anisotropy = anisotropy

    def numbers(self, labels: np.ndarray) -> npt.NDArray[np.float32]:
        found = np.zeros(labels.shape, bool)
        for axis, least in enumerate((self.voxels, self.voxels // self.anisotropy, self.voxels // self.anisotropy)):
            for plane, into in zip(np.moveaxis(labels, axis, 0), np.moveaxis(found, axis, 0), strict=True):
                profiles = np.asarray(components(plane, connectivity=2))
                small = np.bincount(profiles.ravel()) < least
                small[0] = False
                into |= small[profiles]
        return found[None].astype(np.float32)

    def parameters(self) -> dict[str, Any]:
        return {"voxels": self.voxels, "anisotropy": self.anisotropy}
