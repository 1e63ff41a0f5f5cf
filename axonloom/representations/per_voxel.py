"""What targets have in common whose numbers belong to one voxel, and not to a pair."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from axonloom.geometry import Zyx
from axonloom.turn import Seen, Turn


class PerVoxel(ABC):
    """Known everywhere, needs no voxels around, and stays in its channel however the image is turned.

    A subclass has ``channels`` and ``numbers``, and says where it differs.
    """

    channels: tuple[str, ...]
    classes: bool = False
    activation: str = "sigmoid"

    @property
    def margin(self) -> tuple[Zyx, Zyx]:
        return (0, 0, 0), (0, 0, 0)

    @abstractmethod
    def numbers(self, labels: np.ndarray) -> npt.NDArray[np.float32]:
        """The target, float32 (channels, z, y, x)."""

    def target(
        self, labels: np.ndarray, valid: np.ndarray | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        numbers = self.numbers(labels)
        known = np.ones(numbers.shape, dtype=bool) if valid is None else np.broadcast_to(valid != 0, numbers.shape)
        return numbers, known

    def seen(self, turn: Turn) -> tuple[Seen | None, ...]:
        return tuple(Seen(channel) for channel in range(len(self.channels)))
