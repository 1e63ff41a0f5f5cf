"""Two lattices over one piece of tissue: which voxel of one holds the centre of a voxel of the other."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import numpy as np

from axonloom.geometry import Box
from axonloom.volumes import Volume, VolumeError


@dataclass(frozen=True)
class AxisOver:
    """One axis.

    Attributes
    ----------
    step : voxels of the other lattice along one of ours
    shift : where our first voxel begins in the other lattice, in its voxels
    size, other_size : voxels of both
    """

    step: Fraction
    shift: Fraction
    size: int
    other_size: int

    def holding(self, start: int, stop: int) -> np.ndarray:
        """Voxels of the other lattice that hold the centres of ours from ``start`` to ``stop`` (int64), in whole numbers, so exact."""
        half, shift = self.step / 2, self.shift
        common = np.lcm(half.denominator, shift.denominator)
        per, begin = int(half * common), int(shift * common)
        return ((2 * np.arange(start, stop) + 1) * per + begin) // int(common)

    @property
    def is_covered(self) -> bool:
        """Whether the other lattice holds the centre of each of our voxels."""
        first, last = self.holding(0, 1)[0], self.holding(self.size - 1, self.size)[0]
        return first >= 0 and last < self.other_size


def lattice_over(volume: Volume, other: Volume) -> tuple[AxisOver, AxisOver, AxisOver]:
    """How ``other`` lies over ``volume``: by voxel sizes and offsets where both state a voxel size, else by their shapes.

    Raises
    ------
    VolumeError
        ``other`` does not cover ``volume``, or, without voxel sizes, is no coarser copy of it by whole factors.
    """
    found = cast("tuple[AxisOver, AxisOver, AxisOver]", tuple(_axis(volume, other, axis) for axis in range(3)))
    if not all(axis.is_covered for axis in found):
        raise VolumeError(
            f"{other.uri} ({_place(other)}) does not cover {volume.uri} ({_place(volume)}): a mask holds every voxel of what it is "
            "laid over; state its voxel size if it is another"
        )
    return found


def mask_over(mask: Volume, axes: tuple[AxisOver, AxisOver, AxisOver], box: Box) -> np.ndarray:
    """Whether ``mask`` is nonzero at each voxel of ``box`` (of the volume that it lies over); bool (z, y, x)."""
    at = [axis.holding(a, b) for axis, a, b in zip(axes, box.origin, box.stop, strict=True)]
    under = Box(start=[int(p[0]) for p in at], end=[int(p[-1]) + 1 for p in at])
    kept = mask.read(under) != 0
    z, y, x = (p - p[0] for p in at)
    return kept[z[:, None, None], y[:, None], x]


def _axis(volume: Volume, other: Volume, axis: int) -> AxisOver:
    size, other_size = volume.shape[axis], other.shape[axis]
    if volume.voxel_size is None or other.voxel_size is None:
        fitting = [factor for factor in range(-(-size // other_size), size + 1) if -(-size // factor) == other_size]
        # Several factors may give one shape, and a mask that is shifted in silence is worse than none.
        if len(fitting) != 1:
            raise VolumeError(
                f"{other.uri} has {other.shape} voxels and {volume.uri} {volume.shape} (zyx): without voxel sizes a mask has the "
                "same shape, or one that is coarser by a whole factor that leaves no doubt; state the voxel sizes"
            )
        return AxisOver(Fraction(1, fitting[0]), Fraction(0), size, other_size)
    ours, theirs = Fraction(str(volume.voxel_size[axis])), Fraction(str(other.voxel_size[axis]))
    return AxisOver(ours / theirs, volume.offset[axis] * ours / theirs - other.offset[axis], size, other_size)


def _place(volume: Volume) -> str:
    size = "voxel size unknown" if volume.voxel_size is None else f"of {volume.voxel_size} nm"
    return f"{volume.shape} voxels {size} from {volume.offset}"
