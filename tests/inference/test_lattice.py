from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.geometry import BlockGrid, Box
from axonloom.inference.lattice import WindowLattice

axis = st.tuples(st.integers(1, 13), st.integers(1, 9), st.integers(1, 9), st.integers(0, 4))


@st.composite
def lattices(draw: st.DrawFn) -> WindowLattice:
    sizes = [draw(axis) for _ in range(3)]
    shape, window, stride, margin = zip(*((n, w, min(s, w), m) for n, w, s, m in sizes), strict=True)
    return WindowLattice(shape, window, stride, margin, draw(st.sampled_from(["reflect", "shift"])))


@st.composite
def lattice_and_core(draw: st.DrawFn) -> tuple[WindowLattice, Box]:
    lattice = draw(lattices())
    ends = [sorted((draw(st.integers(0, n)), draw(st.integers(0, n)))) for n in lattice.volume_shape]
    return lattice, Box(start=[a for a, _ in ends], end=[b for _, b in ends])


def all_windows(lattice: WindowLattice) -> list[Box]:
    return [lattice.window_at(i) for i in np.ndindex(*lattice.counts)]


@given(lattices())
@settings(max_examples=100, deadline=None)
def test_windows_cover_the_volume_and_its_margin_and_none_is_idle(lattice: WindowLattice) -> None:
    for i in range(3):
        n, window, margin = lattice.volume_shape[i], lattice.window[i], lattice.margin[i]
        covered = np.zeros(n + 2 * margin + window, bool)
        for start in lattice.starts[i]:
            assert start + margin >= 0
            covered[start + margin : start + margin + window] = True
        assert covered[: n + 2 * margin].all()
        assert list(lattice.starts[i]) == sorted(set(lattice.starts[i]))
        if len(lattice.starts[i]) > 1:  # the last but one does not reach the end, or the last would be idle
            assert lattice.starts[i][-2] + window < n + margin
            if lattice.far_edge == "shift":
                assert lattice.starts[i][-1] + window == n + margin


@given(lattice_and_core())
@settings(max_examples=100, deadline=None)
def test_windows_touching_are_all_that_share_a_voxel_in_lattice_order(given_: tuple[WindowLattice, Box]) -> None:
    lattice, core = given_
    expected = [w for w in all_windows(lattice) if core.voxels and w.clipped(core).voxels]
    assert lattice.windows_touching(core) == expected
    if expected:
        low = np.min([w.origin for w in expected], axis=0)
        high = np.max([w.stop for w in expected], axis=0)
        assert lattice.hull(core) == Box(start=low, end=high)


def test_starts_are_those_of_the_formula() -> None:
    assert WindowLattice((10, 64, 3), (4, 32, 8), (3, 16, 4)).starts == ((0, 3, 6), (0, 16, 32), (0,))
    assert WindowLattice((11, 65, 9), (4, 32, 8), (3, 16, 4)).starts == ((0, 3, 6, 9), (0, 16, 32, 48), (0, 4))
    shifted = WindowLattice((20, 70, 76), (9, 33, 33), (4, 16, 16), (4, 8, 8), far_edge="shift")
    assert [s + 8 for s in shifted.starts[2]] == [0, 16, 32, 48, 59]


def test_redundant_share_of_large_volumes_is_that_of_the_formula() -> None:
    lattice = WindowLattice((12800, 12800, 12800), (64, 64, 64), (32, 32, 32))
    for block, share in ((128, (160 / 128) ** 3), (512, (544 / 512) ** 3)):
        grid = BlockGrid(Box.of_shape(lattice.volume_shape), (block,) * 3)
        assert lattice.redundant_share(grid) == pytest.approx(share, rel=0.02)
    assert 1.9 < lattice.redundant_share(BlockGrid(Box.of_shape(lattice.volume_shape), (128,) * 3)) < 1.96


@given(lattices(), st.tuples(*[st.integers(1, 12)] * 3))
@settings(max_examples=60, deadline=None)
def test_redundant_share_counts_windows(lattice: WindowLattice, block: tuple[int, int, int]) -> None:
    grid = BlockGrid(Box.of_shape(lattice.volume_shape), block)
    computed = sum(len(lattice.windows_touching(b.core)) for b in grid)
    unique = len(lattice.windows_touching(grid.region))
    assert lattice.redundant_share(grid) == pytest.approx(computed / unique)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"stride": (4, 9, 4)}, "gaps"),
        ({"window": (0, 8, 8)}, "at least one voxel"),
        ({"margin": (-1, 0, 0)}, "negative"),
        ({"volume_shape": (0, 4, 4)}, "nothing to predict"),
        ({"far_edge": "wrap"}, "reflect, shift"),
    ],
)
def test_impossible_lattices_are_refused(changed: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        WindowLattice(**{"volume_shape": (20, 20, 20), "window": (8, 8, 8), "stride": (4, 4, 4), **changed})
