"""Where objects end."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from axonloom.geometry import Zyx
from axonloom.representations.per_voxel import PerVoxel
from axonloom.representations.representation import RepresentationError


class Contour(PerVoxel):
    """1 around where labels change inside a section (z plane). PyTorch Connectomics' target option ``4``.

    Parameters
    ----------
    thickness : int
        Voxels that the contour reaches beyond where labels change, along y and x.
    background : bool
        Count changes to background (0) too; else only where two objects are within ``thickness`` voxels.
    """

    channels = ("contour",)

    def __init__(self, thickness: int = 1, background: bool = True) -> None:
        if thickness < 0 or (thickness == 0 and not background):
            raise RepresentationError(f"thickness is at least {0 if background else 1} voxels, not {thickness}")
        self.thickness = thickness
        self.background = background

    @property
    def margin(self) -> tuple[Zyx, Zyx]:
        reach = self.thickness + (1 if self.background else 0)
        return (0, reach, reach), (0, reach, reach)

    def numbers(self, labels: np.ndarray) -> npt.NDArray[np.float32]:
        width = 2 * self.thickness + 1
        if self.background:
            padded = np.pad(labels, [(0, 0), (1, 1), (1, 1)], mode="edge")
            changes = (padded[:, 2:, 1:-1] != padded[:, :-2, 1:-1]) | (padded[:, 1:-1, 2:] != padded[:, 1:-1, :-2])
            found = ndimage.maximum_filter(changes, (1, width, width), mode="constant")
        else:
            # The largest and the smallest object around; where there is one alone they are the same.
            ids = labels.astype(np.int64)
            none = int(ids.max(initial=0)) + 1
            largest = ndimage.maximum_filter(ids, (1, width, width), mode="nearest")
            smallest = ndimage.minimum_filter(np.where(ids == 0, none, ids), (1, width, width), mode="nearest")
            found = (largest > 0) & (largest != smallest)
        return found[None].astype(np.float32)

    def parameters(self) -> dict[str, Any]:
        return {"thickness": self.thickness, "background": self.background}
