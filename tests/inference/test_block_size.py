from __future__ import annotations

import pytest

from axonloom.geometry import BlockGrid, Box
from axonloom.inference.block_size import ENOUGH, LARGEST, economical_block
from axonloom.inference.lattice import WindowLattice


@pytest.mark.parametrize("volume", [(2000, 4000, 3000), (176, 250, 250), (30, 9000, 9000), (64, 64, 64), (1, 1, 1)])
@pytest.mark.parametrize("window", [(64, 64, 64), (17, 257, 257)])
def test_few_windows_are_computed_twice(volume, window) -> None:
    lattice = WindowLattice(volume, window, tuple(n // 2 for n in window))
    base = (32, 128, 128)
    found = economical_block(base, lattice)
    assert all(n % b == 0 for n, b in zip(found, base, strict=True))
    assert Box.of_shape(found).clipped(Box.of_shape(volume)).voxels <= LARGEST
    share = lattice.redundant_share(BlockGrid(Box.of_shape(volume), found))
    assert share <= (ENOUGH if window[1] == 64 else 2.0)


def test_blocks_stay_as_they_are_where_nothing_is_computed_twice() -> None:
    assert economical_block((64, 64, 64), WindowLattice((512, 512, 512), (32, 32, 32), (32, 32, 32))) == (64, 64, 64)
    assert economical_block((64, 64, 64), WindowLattice((512,) * 3, (48,) * 3, (32,) * 3, crop=True)) == (64, 64, 64)
