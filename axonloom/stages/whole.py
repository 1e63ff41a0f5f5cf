"""Stages that look at all blocks' tables at once: a grid of one block, run and recorded like every other."""

from __future__ import annotations

from axonloom.geometry import BlockGrid


def one_block(grid: BlockGrid) -> BlockGrid:
    """The region of ``grid`` as a single block."""
    return BlockGrid(grid.region, grid.region.shape)
