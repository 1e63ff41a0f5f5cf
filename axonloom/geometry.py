"""Integer boxes and block grids, in voxels, in zyx order.

A :class:`BlockGrid` tiles a region with *cores*: each voxel belongs to exactly one core, and a block writes its core and
nothing else. What a block may *read* is its core grown by a halo and clipped to the region. Everything that is computed
block by block in axonloom gets its geometry from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import cast

from connectomics.common.bounding_box import BoundingBox

from axonloom.bad_input import BadInputError

Zyx = tuple[int, int, int]


class Box(BoundingBox):
    """A box of voxels: ``start`` (inclusive) and ``end`` (exclusive), zyx.

    The box type of google-research/connectomics, read in zyx order throughout axonloom. Use :attr:`slices` to index an
    array; ``BoundingBox.to_slice3d`` belongs to that project's own xyz convention and is not for axonloom's arrays.
    """

    @classmethod
    def of_shape(cls, shape: Sequence[int]) -> Box:
        """The box of a whole array of this zyx shape."""
        return cls(start=(0, 0, 0), size=tuple(shape))

    @property
    def shape(self) -> Zyx:
        return cast(Zyx, tuple(int(n) for n in self._size))

    @property
    def origin(self) -> Zyx:
        return cast(Zyx, tuple(int(n) for n in self._start))

    @property
    def stop(self) -> Zyx:
        return cast(Zyx, tuple(o + n for o, n in zip(self.origin, self.shape, strict=True)))

    @property
    def voxels(self) -> int:
        """Number of voxels; 0 for an empty box."""
        return prod(max(0, n) for n in self.shape)

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Slices that cut this box out of a zyx array that starts at the origin."""
        return cast(
            tuple[slice, slice, slice],
            tuple(slice(a, b) for a, b in zip(self.origin, self.stop, strict=True)),
        )

    def slices_in(self, outer: Box) -> tuple[slice, slice, slice]:
        """Slices that cut this box out of an array that holds exactly ``outer``."""
        return self.shifted([-o for o in outer.origin]).slices

    def grown(self, low: Sequence[int], high: Sequence[int] | None = None) -> Box:
        """The box with ``low`` voxels more on each low side and ``high`` (default: the same) on each high side."""
        high = low if high is None else high
        return Box(
            start=[a - n for a, n in zip(self.origin, low, strict=True)],
            end=[b + n for b, n in zip(self.stop, high, strict=True)],
        )

    def clipped(self, bounds: Box) -> Box:
        """The part inside ``bounds``; a box of size 0 where nothing is."""
        start = [max(a, b) for a, b in zip(self.origin, bounds.origin, strict=True)]
        end = [max(s, min(a, b)) for s, a, b in zip(start, self.stop, bounds.stop, strict=True)]
        return Box(start=start, end=end)

    def shifted(self, by: Sequence[int]) -> Box:
        return Box(start=[a + n for a, n in zip(self.origin, by, strict=True)], size=self.shape)

    def contains(self, inner: Box) -> bool:
        return all(a <= b for a, b in zip(self.origin, inner.origin, strict=True)) and all(
            a >= b for a, b in zip(self.stop, inner.stop, strict=True)
        )

    def __repr__(self) -> str:
        return "Box[" + ", ".join(f"{a}:{b}" for a, b in zip(self.origin, self.stop, strict=True)) + "]"


@dataclass(frozen=True)
class Block:
    """One unit of work: its number in the grid, the core that it owns, and what it may read."""

    index: int
    position: Zyx
    core: Box
    read: Box


class BlockAlignmentError(BadInputError):
    """Two blocks would share a stored chunk."""


@dataclass(frozen=True)
class BlockGrid:
    """A region cut into blocks of ``shape`` (zyx voxels), numbered in C order; the last of an axis may be small.

    Parameters
    ----------
    region : Box
        What is tiled. Cores are anchored at its start.
    shape : (z, y, x)
        Voxels of a core.
    halo : (z, y, x)
        Voxels read beyond the core on both sides, clipped to the region.
    """

    region: Box
    shape: Zyx
    halo: Zyx = (0, 0, 0)

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise ValueError(f"a block needs at least one voxel on each axis, not {self.shape}")
        if min(self.halo) < 0:
            raise ValueError(f"a halo is not negative, but {self.halo} was given")
        if self.region.voxels == 0:
            raise ValueError(f"{self.region} holds no voxels to cut into blocks")

    @property
    def counts(self) -> Zyx:
        """Blocks along z, y and x."""
        return cast(Zyx, tuple(-(-n // s) for n, s in zip(self.region.shape, self.shape, strict=True)))

    def __len__(self) -> int:
        return prod(self.counts)

    def __iter__(self) -> Iterator[Block]:
        return (self.block(i) for i in range(len(self)))

    def position(self, index: int) -> Zyx:
        if not 0 <= index < len(self):
            raise IndexError(f"block {index} is not one of the {len(self)} blocks of this grid")
        _, ny, nx = self.counts
        return index // (ny * nx), index // nx % ny, index % nx

    def index(self, position: Sequence[int]) -> int:
        z, y, x = position
        _, ny, nx = self.counts
        return (z * ny + y) * nx + x

    def block(self, index: int) -> Block:
        position = self.position(index)
        start = [o + p * s for o, p, s in zip(self.region.origin, position, self.shape, strict=True)]
        core = Box(start=start, size=self.shape).clipped(self.region)
        return Block(index, position, core, core.grown(self.halo).clipped(self.region))

    def neighbour_below(self, index: int, axis: int) -> int | None:
        """The block on the low side of ``index`` along ``axis`` (0 = z), or None at the region's edge."""
        position = list(self.position(index))
        if position[axis] == 0:
            return None
        position[axis] -= 1
        return self.index(position)

    def blocks_touching(self, box: Box) -> list[int]:
        """Indices of the blocks whose cores share a voxel with ``box``, ascending."""
        inside = box.clipped(self.region)
        if inside.voxels == 0:
            return []
        low = [(a - o) // s for a, o, s in zip(inside.origin, self.region.origin, self.shape, strict=True)]
        high = [(b - 1 - o) // s for b, o, s in zip(inside.stop, self.region.origin, self.shape, strict=True)]
        return [
            self.index((z, y, x))
            for z in range(low[0], high[0] + 1)
            for y in range(low[1], high[1] + 1)
            for x in range(low[2], high[2] + 1)
        ]

    def require_chunks(self, chunk: Sequence[int]) -> None:
        """Refuse a grid in which two blocks would write one stored chunk (zyx voxels, anchored at the region's start).

        Raises
        ------
        BlockAlignmentError
            Names the nearest block shapes that would work.
        """
        wrong = [axis for axis in range(3) if self.counts[axis] > 1 and self.shape[axis] % chunk[axis]]
        if not wrong:
            return
        below = tuple(max(c, s // c * c) for s, c in zip(self.shape, chunk, strict=True))
        above = tuple(-(-s // c) * c for s, c in zip(self.shape, chunk, strict=True))
        working = " or ".join(dict.fromkeys(map(str, (below, above))))
        raise BlockAlignmentError(
            f"blocks of {self.shape} voxels (zyx) do not fall on the output's chunks of {tuple(chunk)}: two blocks would "
            f"write the same chunk; blocks.shape of {working} would work"
        )


def chunk_for_blocks(block: Sequence[int], region: Sequence[int], largest: int = 64) -> Zyx:
    """A chunk shape (zyx) that blocks of this shape can own whole: at most ``largest`` voxels an axis.

    The largest divisor of the block up to ``largest``; along an axis with a single block any chunk will do.
    """

    def one(size: int, extent: int) -> int:
        if size >= extent:
            return min(extent, largest)
        return next(n for n in range(min(size, largest), 0, -1) if size % n == 0)

    return cast(Zyx, tuple(one(b, n) for b, n in zip(block, region, strict=True)))
