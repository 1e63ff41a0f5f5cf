"""Boxes of blocks, boxes of such boxes, up to the volume: which lies in which, and where they meet."""

from __future__ import annotations

from math import prod
from typing import cast

from axonloom.assembly.open_faces import side
from axonloom.geometry import BlockGrid, Box, Zyx


def part_grids(blocks: BlockGrid, voxels: int) -> list[BlockGrid]:
    """The levels of the tree over some blocks, finest first; the last is a single part.

    Parameters
    ----------
    blocks : BlockGrid
    voxels : int
        What a part of the first level may hold at most; it has at least one block. From level to level a part doubles along
        each axis.
    """
    extent = blocks.region.shape
    shape = blocks.shape
    while any(a < n for a, n in zip(shape, extent, strict=True)):
        shortest = min((axis for axis in range(3) if shape[axis] < extent[axis]), key=lambda axis: shape[axis])
        longer = _doubled(shape, extent, [shortest])
        if prod(longer) > voxels:
            break
        shape = longer
    grids = [BlockGrid(blocks.region, shape)]
    while len(grids[-1]) > 1:
        shape = _doubled(shape, extent, range(3))
        grids.append(BlockGrid(blocks.region, shape))
    return grids


def _doubled(shape: Zyx, extent: Zyx, axes: range | list[int]) -> Zyx:
    """Twice as long along some axes, where it does not yet span them."""
    return cast(Zyx, tuple(a * 2 if axis in axes and a < extent[axis] else a for axis, a in enumerate(shape)))


def outer_sides(inner: Box, outer: Box) -> list[int]:
    """The sides of a box that lie in the sides of the one around it."""
    low = [side(axis, False) for axis in range(3) if inner.origin[axis] == outer.origin[axis]]
    return low + [side(axis, True) for axis in range(3) if inner.stop[axis] == outer.stop[axis]]


def faces_between(blocks: BlockGrid, within: BlockGrid, part: Box) -> list[tuple[int, list[int]]]:
    """The block faces in a part at which parts of the level below meet: (block, axes of its low faces that are such)."""
    found = []
    for index in blocks.blocks_touching(part):
        origin = blocks.block(index).core.origin
        axes = [
            axis
            for axis in range(3)
            if origin[axis] > part.origin[axis]
            and (origin[axis] - blocks.region.origin[axis]) % within.shape[axis] == 0
        ]
        if axes:
            found.append((index, axes))
    return found
