"""Turns of a volume onto itself: exchanges of axes and mirrorings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from axonloom.geometry import Zyx


@dataclass(frozen=True)
class Turn:
    """An exchange of axes followed by mirroring.

    Attributes
    ----------
    order : (int, int, int)
        Axis i of the result is axis ``order[i]`` of the source.
    flips : (bool, bool, bool)
        Axes of the result that are mirrored.
    """

    order: Zyx = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    def apply(self, array: np.ndarray) -> np.ndarray:
        """A view of ``array`` ((c), z, y, x), turned."""
        lead = array.ndim - 3
        turned = array.transpose(*range(lead), *(lead + axis for axis in self.order))
        return turned[(..., *(slice(None, None, -1) if flip else slice(None) for flip in self.flips))]

    def source_shape(self, shape: Zyx) -> Zyx:
        """The shape (z, y, x) that :meth:`apply` turns into ``shape``."""
        source = [0, 0, 0]
        for axis, size in zip(self.order, shape, strict=True):
            source[axis] = size
        return cast(Zyx, tuple(source))


@dataclass(frozen=True)
class Seen:
    """Where a channel of some evidence is found in the evidence for the turned image.

    Attributes
    ----------
    channel : int
        Of the turned evidence.
    shift : (z, y, x)
        Voxels, not negative: once turned back, what belongs to voxel v stands at v - shift. So the first ``shift`` planes of an
        axis are not known from this side.
    """

    channel: int
    shift: Zyx = (0, 0, 0)
