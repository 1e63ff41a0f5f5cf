"""Test-time augmentation: the network looks at a window from several sides, and what it sees is put together.

Right for affinities too: an affinity belongs to an ordered pair of voxels, and each channel is taken from where the turned
evidence holds that very pair (:meth:`axonloom.representations.representation.Representation.seen`). A network that is never
wrong stays so under all views. The numbers of views are those of PyTorch Connectomics, whose own augmentation leaves channels
where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import torch
from torch import Tensor

from axonloom.turn import Seen, Turn

MergeViews = Literal["mean", "min", "max"]

_MERGING = {"mean": torch.add, "min": torch.minimum, "max": torch.maximum}
_EMPTY = {"mean": 0.0, "min": float("inf"), "max": float("-inf")}

#: Which turns each number of views stands for; the first is the window as it is.
VIEWS: dict[int, tuple[Turn, ...]] = {
    1: (Turn(),),
    4: tuple(Turn(flips=(False, y, x)) for y, x in product((False, True), repeat=2)),
    8: tuple(
        Turn(order, (False, y, x)) for order in ((0, 1, 2), (0, 2, 1)) for y, x in product((False, True), repeat=2)
    ),
    16: tuple(
        Turn(order, (z, y, x))
        for z in (False, True)
        for order in ((0, 1, 2), (0, 2, 1))
        for y, x in product((False, True), repeat=2)
    ),
}


@dataclass(frozen=True)
class Views:
    """Several views of a window, merged into one prediction.

    Attributes
    ----------
    turns : sequence of Turn
        The first is no turn.
    seen : for each of them, for each channel where it is found in what the network says of the turned window
    merge : {"mean", "min", "max"}
        Over the views that know of a voxel: at some windows' rims not all do.
    """

    turns: tuple[Turn, ...]
    seen: tuple[tuple[Seen | None, ...], ...]
    merge: MergeViews = "mean"

    @classmethod
    def of(cls, count: int, seen: Callable[[Turn], Sequence[Seen | None]], merge: MergeViews = "mean") -> Views:
        """So many views (1, 4: mirrored along y and x, 8: also turned in the plane, 16: also mirrored along z).

        Raises
        ------
        ValueError
            There is no such number of views.
        """
        if count not in VIEWS:
            raise ValueError(f"there are {', '.join(map(str, VIEWS))} views, not {count}")
        turns = VIEWS[count]
        return cls(turns, tuple(tuple(seen(turn)) for turn in turns), merge)

    def merged(self, evidence: Callable[[Tensor], Tensor], windows: Tensor) -> Tensor:
        """The evidence for ``windows`` (n, c, z, y, x), as (n, c_out, z, y, x), from all sides.

        ``evidence`` maps such a batch to values of 0..1 of the same voxels.
        """
        total: Tensor | None = None
        known: Tensor | None = None
        for turn, seen in zip(self.turns, self.seen, strict=True):
            found = _turned_back(evidence(_turned(windows, turn)), turn)
            if total is None or known is None:
                total = torch.full_like(found, _EMPTY[self.merge])
                known = torch.zeros(found.shape[1:], dtype=found.dtype, device=found.device)
            for channel, place in enumerate(seen):
                if place is None:
                    continue
                to = tuple(slice(n, None) for n in place.shift)
                of = tuple(slice(0, max(0, size - n)) for size, n in zip(found.shape[2:], place.shift, strict=True))
                value, target = found[(slice(None), place.channel, *of)], total[(slice(None), channel, *to)]
                target.copy_(_MERGING[self.merge](target, value))
                known[(channel, *to)] += 1
        assert total is not None
        assert known is not None
        return total / known if self.merge == "mean" else total


def _turned(windows: Tensor, turn: Turn) -> Tensor:
    moved = windows.permute(0, 1, *(2 + axis for axis in turn.order))
    return moved.flip([2 + axis for axis, flip in enumerate(turn.flips) if flip]).contiguous()


def _turned_back(evidence: Tensor, turn: Turn) -> Tensor:
    unflipped = evidence.flip([2 + axis for axis, flip in enumerate(turn.flips) if flip])
    return unflipped.permute(0, 1, *(2 + turn.order.index(axis) for axis in range(3))).contiguous()
