"""Where the network looks: windows on one fixed lattice over the volume.

The lattice belongs to the volume and not to the blocks that it is computed in. A block computes every window that touches
its core, so each voxel meets the same windows in the same order however the volume is cut, and blocked inference gives the
bytes of whole-volume inference.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, cast, get_args

from axonloom.geometry import BlockGrid, Box, Zyx
from axonloom.lazy import lazy

FarEdge = Literal["reflect", "shift"]


@dataclass(frozen=True)
class WindowLattice:
    """Windows of one size at regular starts over a whole volume.

    Along an axis of ``n`` voxels, window ``i`` starts at ``i * stride - margin``, and the lattice ends with the first window
    that reaches ``n + margin``. What a window holds beyond the volume is its reflection (see
    :func:`axonloom.inference.reflection.read_reflected`), also where the volume is smaller than one window.

    Parameters
    ----------
    volume_shape : (z, y, x)
        Voxels of the whole volume, never of a block.
    window : (z, y, x)
        Voxels that the network sees at once.
    stride : (z, y, x)
        Voxels from one window to the next; at most the window.
    margin : (z, y, x)
        Voxels of reflection before and after the volume, so that its border is not only seen by the faint rims of windows.
    far_edge : {"reflect", "shift"}
        ``reflect`` keeps the stride to the end and lets the last window reach past it; ``shift`` moves the last window back
        so that it ends there, as PyTC does (its ``PAD_SIZE`` is the margin).
    crop : bool
        Only the middle of each window counts, as large as the stride, so that each voxel is seen by one window ("valid" cropping).
        Windows then start half a rim before the volume, and ``margin`` and ``far_edge`` have no part.

    Raises
    ------
    ValueError
        Sizes that leave gaps or hold nothing.
    """

    volume_shape: Zyx
    window: Zyx
    stride: Zyx
    margin: Zyx = (0, 0, 0)
    far_edge: FarEdge = "reflect"
    crop: bool = False

    def __post_init__(self) -> None:
        if min(self.volume_shape) < 1:
            raise ValueError(f"a volume of {self.volume_shape} voxels (zyx) has nothing to predict")
        if min(self.window) < 1 or min(self.stride) < 1:
            raise ValueError(
                f"window and stride need at least one voxel on each axis, not {self.window} and {self.stride}"
            )
        if any(s > w for s, w in zip(self.stride, self.window, strict=True)):
            raise ValueError(
                f"a stride of {self.stride} with windows of {self.window} (zyx voxels) would leave gaps; "
                f"at most {self.window} works, half the window is usual"
            )
        if min(self.margin) < 0:
            raise ValueError(f"a margin is not negative, but {self.margin} was given")
        if self.far_edge not in get_args(FarEdge):
            raise ValueError(f"far_edge is one of {', '.join(get_args(FarEdge))}, not {self.far_edge!r}")

    @lazy
    def starts(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """First voxel of the windows along z, y and x, ascending; negative inside the margin."""
        return cast(tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], tuple(map(self._axis_starts, range(3))))

    def _axis_starts(self, axis: int) -> tuple[int, ...]:
        window, stride, margin = self.window[axis], self.stride[axis], self.margin[axis]
        if self.crop:
            return tuple(i * stride - self._rim(axis) for i in range(-(-self.volume_shape[axis] // stride)))
        rest = max(0, self.volume_shape[axis] + 2 * margin - window)
        starts = [i * stride for i in range(1 + -(-rest // stride))]
        if self.far_edge == "shift":
            starts[-1] = rest
        return tuple(s - margin for s in starts)

    @property
    def counts(self) -> Zyx:
        """Windows along z, y and x."""
        return cast(Zyx, tuple(map(len, self.starts)))

    def __len__(self) -> int:
        return prod(self.counts)

    def window_at(self, index: Sequence[int]) -> Box:
        """The window with this (z, y, x) number; it may reach beyond the volume."""
        return Box(start=[s[i] for s, i in zip(self.starts, index, strict=True)], size=self.window)

    def _rim(self, axis: int) -> int:
        """Voxels at the start of each window that do not count."""
        return (self.window[axis] - self.stride[axis]) // 2 if self.crop else 0

    def counted(self, window: Box) -> Box:
        """The part of a window that counts."""
        if not self.crop:
            return window
        return Box(start=[a + self._rim(axis) for axis, a in enumerate(window.origin)], size=self.stride)

    def _touching(self, axis: int, low: int, high: int) -> range:
        """Numbers of the windows along ``axis`` that count for a voxel of ``low <= voxel < high``."""
        starts, rim = self.starts[axis], self._rim(axis)
        size = self.stride[axis] if self.crop else self.window[axis]
        return range(bisect_right(starts, low - rim - size), bisect_left(starts, high - rim))

    def indices_touching(self, core: Box) -> list[Zyx]:
        """Numbers (z, y, x) of the windows that count for a voxel of ``core``, in lattice order: z slowest, x fastest."""
        if core.voxels == 0:
            return []
        zs, ys, xs = (self._touching(a, core.origin[a], core.stop[a]) for a in range(3))
        return [(z, y, x) for z in zs for y in ys for x in xs]

    def windows_touching(self, core: Box) -> list[Box]:
        """The windows that count for a voxel of ``core``, in lattice order (z slowest, x fastest)."""
        return [self.window_at(i) for i in self.indices_touching(core)]

    def hull(self, core: Box) -> Box:
        """The smallest box that holds every window which touches ``core``: what a block reads."""
        touching = self.indices_touching(core)
        first, last = self.window_at(touching[0]), self.window_at(touching[-1])
        return Box(start=first.origin, end=last.stop)

    def redundant_share(self, grid: BlockGrid) -> float:
        """How often a window is computed when every block of ``grid`` computes all that touch its core, on average.

        Windows on a block's border are computed by each block that they touch. On a large volume, blocks of ``b`` voxels
        with a window of ``w`` and a stride of ``s`` (``b`` a multiple of ``s``) cost ``((b + w - s) / b)`` an axis: 1.95 for
        128, 64 and 32, and 1.2 for blocks of 512.
        """
        share = 1.0
        for axis in range(3):
            low, high = grid.region.origin[axis], grid.region.stop[axis]
            size = grid.shape[axis]
            computed = sum(len(self._touching(axis, a, min(a + size, high))) for a in range(low, high, size))
            share *= computed / len(self._touching(axis, low, high))
        return share
