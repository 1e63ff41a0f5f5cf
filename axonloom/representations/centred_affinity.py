"""Affinities that stand halfway between their two voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from axonloom.geometry import Zyx
from axonloom.representations.representation import RepresentationError
from axonloom.turn import Seen, Turn


class CentredAffinity:
    """Whether the voxels a reach before and a reach after a voxel are one object. PyTorch Connectomics' target option ``2-z-y-x-v2``.

    Segmentation reads :class:`axonloom.representations.affinity.AffinityTarget`, which stands at the later of its two voxels.

    Parameters
    ----------
    reach : (z, y, x)
        Voxels on either side, one channel an axis.
    """

    classes = False
    activation = "sigmoid"

    def __init__(self, reach: Sequence[int] = (1, 1, 1)) -> None:
        self.reach: Zyx = cast(Zyx, tuple(int(n) for n in reach))
        if len(self.reach) != 3 or min(self.reach) < 1:
            raise RepresentationError(f"reach is three voxel counts (z, y, x) of at least 1, not {list(reach)}")

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(f"{axis}+-{n}" for axis, n in zip("zyx", self.reach, strict=True))

    @property
    def margin(self) -> tuple[Zyx, Zyx]:
        return self.reach, self.reach

    def target(
        self, labels: np.ndarray, valid: np.ndarray | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Beyond the array stands its nearest voxel; where there is a mask, both voxels have to be valid."""
        target, known = np.empty((3, *labels.shape), np.float32), np.ones((3, *labels.shape), bool)
        for axis, n in enumerate(self.reach):
            size = labels.shape[axis]
            before, after = (np.clip(np.arange(size) + step, 0, size - 1) for step in (-n, n))
            one = np.take(labels, before, axis)
            target[axis] = (one == np.take(labels, after, axis)) & (one > 0)
            if valid is not None:
                known[axis] = (np.take(valid, before, axis) != 0) & (np.take(valid, after, axis) != 0)
        return target, known

    def seen(self, turn: Turn) -> tuple[Seen | None, ...]:
        """The two voxels of a pair change places in a flipped image, and the channel stays. Where axes are exchanged it stands in the
        other's channel, if that reaches as far."""
        found: list[Seen | None] = []
        for axis in range(3):
            there = turn.order.index(axis)
            found.append(Seen(there) if self.reach[there] == self.reach[axis] else None)
        return tuple(found)

    def parameters(self) -> dict[str, Any]:
        return {"reach": list(self.reach)}
