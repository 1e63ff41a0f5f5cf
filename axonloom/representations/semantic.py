"""What kind of thing a voxel belongs to: labels are classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from axonloom.representations.per_voxel import PerVoxel
from axonloom.representations.representation import RepresentationError


class Semantic(PerVoxel):
    """Labels 0 to ``count`` - 1 as classes. PyTorch Connectomics' target option ``9``.

    Parameters
    ----------
    count : int
    """

    classes = True
    activation = "softmax"

    def __init__(self, count: int) -> None:
        if count < 2:
            raise RepresentationError(f"there are at least two classes, but count is {count}")
        self.count = count
        self.channels = tuple(f"class-{number}" for number in range(count))

    def numbers(self, labels: np.ndarray) -> npt.NDArray[np.float32]:
        highest = int(labels.max(initial=0))
        if highest >= self.count:
            raise RepresentationError(
                f"labels of classes lie between 0 and {self.count - 1}, but there is a {highest}: give a higher count"
            )
        return labels[None].astype(np.float32)

    def parameters(self) -> dict[str, Any]:
        return {"count": self.count}
