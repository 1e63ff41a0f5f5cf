"""Whether a voxel belongs to any object, or to one of some."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from axonloom.representations.per_voxel import PerVoxel


class Foreground(PerVoxel):
    """1 inside objects, 0 outside. PyTorch Connectomics' target option ``0``.

    Parameters
    ----------
    ids : sequence of int
        Only these labels count; none given: all that are not 0.
    """

    channels = ("foreground",)

    def __init__(self, ids: Sequence[int] = ()) -> None:
        self.ids = tuple(int(each) for each in ids)

    def numbers(self, labels: np.ndarray) -> npt.NDArray[np.float32]:
        inside = np.isin(labels, self.ids) if self.ids else labels > 0
        return inside[None].astype(np.float32)

    def parameters(self) -> dict[str, Any]:
        return {"ids": list(self.ids)}
