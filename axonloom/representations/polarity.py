"""The two sides of a synapse."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from axonloom.representations.per_voxel import PerVoxel


class Polarity(PerVoxel):
    """Odd labels are presynaptic, even ones postsynaptic, as in PyTorch Connectomics' target option ``1``.

    Parameters
    ----------
    exclusive : bool
        Classes 0 (neither), 1 and 2 instead of three channels (pre, post, either).
    """

    def __init__(self, exclusive: bool = False) -> None:
        self.exclusive = exclusive
        self.channels = ("neither", "pre", "post") if exclusive else ("pre", "post", "synapse")
        self.classes = exclusive
        self.activation = "softmax" if exclusive else "sigmoid"

    def numbers(self, labels: np.ndarray) -> npt.NDArray[np.float32]:
        pre, post = labels % 2 == 1, (labels > 0) & (labels % 2 == 0)
        if self.exclusive:
            return (pre + 2.0 * post)[None].astype(np.float32)
        return np.stack([pre, post, labels > 0]).astype(np.float32)

    def parameters(self) -> dict[str, Any]:
        return {"exclusive": self.exclusive}
