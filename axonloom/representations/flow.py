"""Which way the middle of an object lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from axonloom.kernel import kernel
from axonloom.representations.per_voxel import PerVoxel
from axonloom.turn import Seen, Turn

SMALLEST = 1e-20  # length of a vector that is not divided by


@kernel
def _spread(inside: np.ndarray, y: int, x: int, rounds: int) -> np.ndarray:
    """Heat that comes from (y, x), one unit a round, and spreads over 3 x 3 voxels within ``inside`` (padded by one)."""
    height, width = inside.shape
    heat, after = np.zeros((height, width)), np.zeros((height, width))
    for _ in range(rounds):
        heat[y, x] += 1.0
        for v in range(1, height - 1):
            for u in range(1, width - 1):
                if inside[v, u]:
                    after[v, u] = (
                        heat[v - 1, u - 1] + heat[v - 1, u] + heat[v - 1, u + 1]
                        + heat[v, u - 1] + heat[v, u] + heat[v, u + 1]
                        + heat[v + 1, u - 1] + heat[v + 1, u] + heat[v + 1, u + 1]
                    ) / 9.0  # fmt: skip
        heat, after = after, heat
    return heat


class Flow(PerVoxel):
    """Unit vectors (y, x) along the slope of heat that spreads from each object's middle, section by section.

    The method of Cellpose (Stringer et al. 2021); PyTorch Connectomics' target option ``7``. 0 in the background.
    """

    channels = ("flow-y", "flow-x")
    activation = "tanh"

    def numbers(self, labels: np.ndarray) -> npt.NDArray[np.float32]:
        result = np.zeros((2, *labels.shape), np.float64)
        for z, section in enumerate(labels):
            ids, dense = np.unique(section, return_inverse=True)
            dense = dense.reshape(section.shape) + (0 if ids[0] == 0 else 1)
            boxes = [(number, box) for number, box in enumerate(ndimage.find_objects(dense), 1) if box is not None]
            if not boxes:
                continue
            # As long as the largest object of the section takes: the same for all, as there.
            rounds = 2 * max(b.stop - b.start + a.stop - a.start + 2 for _, (b, a) in boxes)
            heat = np.zeros((section.shape[0] + 2, section.shape[1] + 2))
            for number, box in boxes:
                inside = np.pad(dense[box] == number, 1)
                ys, xs = np.nonzero(inside)
                nearest = np.argmin((xs - np.median(xs)) ** 2 + (ys - np.median(ys)) ** 2)
                own = _spread(inside, int(ys[nearest]), int(xs[nearest]), rounds)
                heat[1:-1, 1:-1][box] += own[1:-1, 1:-1]
            # Where objects touch, the slope runs from one into the other, as in Cellpose's computation on a GPU.
            heat = np.log1p(heat)
            result[0, z] = np.where(dense > 0, heat[2:, 1:-1] - heat[:-2, 1:-1], 0)
            result[1, z] = np.where(dense > 0, heat[1:-1, 2:] - heat[1:-1, :-2], 0)
        return (result / (np.sqrt((result**2).sum(0)) + SMALLEST)).astype(np.float32)

    def seen(self, turn: Turn) -> tuple[Seen | None, ...]:
        """A vector's part along an axis is another number in a mirrored or turned image: only other sides of z are seen."""
        same = turn.order == (0, 1, 2) and not any(turn.flips[1:])
        return tuple(Seen(channel) if same else None for channel in range(2))

    def parameters(self) -> dict[str, Any]:
        return {}
