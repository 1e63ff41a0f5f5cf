"""How large a block of inference should be."""

from __future__ import annotations

from typing import cast

from axonloom.geometry import BlockGrid, Box, Zyx
from axonloom.inference.lattice import WindowLattice

#: Windows that are computed for a block of the volume, over those that the volume has: small enough.
ENOUGH = 1.25
#: Voxels of a block: 3 GB of memory, and on a slow core minutes of work that a crash loses.
LARGEST = 512**3


def economical_block(base: Zyx, lattice: WindowLattice) -> Zyx:
    """Blocks of whole ``base`` blocks (z, y, x voxels) in which few windows are computed twice.

    Windows at a block's border are computed by every block that they touch. So ``base`` is doubled along the axis where that saves
    most, until the windows computed are at most :data:`ENOUGH` times those of the volume, or the block would have more than
    :data:`LARGEST` voxels. It depends on the volume and on the windows alone, never on who computes.
    """
    region = Box.of_shape(lattice.volume_shape)

    def share(block: Zyx) -> float:
        return lattice.redundant_share(BlockGrid(region, block))

    block = base
    while share(block) > ENOUGH:
        larger = [
            cast(Zyx, tuple(2 * n if axis == k else n for k, n in enumerate(block)))
            for axis in range(3)
            if block[axis] < lattice.volume_shape[axis]
        ]
        larger = [each for each in larger if Box.of_shape(each).clipped(region).voxels <= LARGEST]
        if not larger:
            break
        block = min(larger, key=share)
    return block
