"""A volume merged part by part has the merges and the segments of the whole, whatever the parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.assembly.part_tree import part_grids
from axonloom.assembly.thresholds import threshold_to_uint8
from axonloom.geometry import BlockGrid, Box
from axonloom.segmentation.agglomeration import agglomerate
from tests.segmentation.blocked import segment
from tests.segmentation.parts import Tree
from tests.segmentation.test_exactness import volumes

COLUMNS = ("a", "b", "sum", "count", "key")


@st.composite
def blockings(draw):
    """A block and, level by level, how many of the level below a part has along each axis."""
    block = tuple(draw(st.integers(1, 4)) for _ in range(3))
    times = draw(st.lists(st.tuples(*(st.integers(1, 3),) * 3), min_size=0, max_size=3))
    return block, times


@settings(max_examples=200, deadline=None)
@given(
    volumes(9),
    blockings(),
    st.sampled_from([0, 2, 3, 7, 30]),
    st.sampled_from(["0", "0.1", "0.4", "1"]),
    st.sampled_from([None, None, 10, 50, 85]),
)
def test_any_parts_give_the_merges_of_the_whole(volume, blocking, absorbing, lowest, percent):
    affinities, low, high, mask = volume
    block, times = blocking
    result = segment(affinities, block, low, high, mask, absorbing=absorbing, histograms=percent is not None)
    grids, shape = [], block
    for step in times:
        shape = tuple(a * b for a, b in zip(shape, step, strict=True))
        grids.append(BlockGrid(result.grid.region, shape))
    grids.append(BlockGrid(result.grid.region, affinities.shape[1:]))
    tree = Tree(result.grid, result.blocks, grids, absorbing, low, lowest, percent)

    dendrogram = agglomerate(result.graph.edges, lowest, percent)
    assert tree.merges() == list(zip(*(getattr(dendrogram, name).tolist() for name in COLUMNS), strict=True))
    for threshold in ("1", "0.55", lowest):
        if float(threshold) >= float(lowest):
            np.testing.assert_array_equal(
                tree.segmentation(result.provisional, threshold), result.segmentation(lowest, threshold, percent)
            )


@pytest.mark.parametrize("percent", [None, 75])
def test_a_real_prediction_part_by_part(fly_affinities, percent):
    low, high = threshold_to_uint8("0.05"), threshold_to_uint8("0.99")
    result = segment(fly_affinities, (20, 30, 32), low, high, absorbing=50, histograms=percent is not None)
    dendrogram = agglomerate(result.graph.edges, "0.1", percent)
    rows = list(zip(*(getattr(dendrogram, name).tolist() for name in COLUMNS), strict=True))
    for voxels in (0, 60**3):
        grids = part_grids(result.grid, voxels)
        assert len(grids) > 2
        tree = Tree(result.grid, result.blocks, grids, 50, low, "0.1", percent)
        assert tree.merges() == rows
        assert sum(len(part.merges) for part in tree.levels[-1]) < len(rows)
        for threshold in ("0.2", "0.8"):
            np.testing.assert_array_equal(
                tree.segmentation(result.provisional, threshold), result.segmentation("0.1", threshold, percent)
            )


@pytest.mark.parametrize(
    ("extent", "block", "voxels", "shapes"),
    [
        ((100, 100, 100), (10, 10, 10), 0, [10, 20, 40, 80, 160]),
        ((100, 100, 100), (10, 10, 10), 10**9, [160]),
        ((100, 100, 100), (10, 10, 10), 20**3, [20, 40, 80, 160]),
        ((10, 10, 10), (16, 16, 16), 0, [16]),
    ],
)
def test_parts_double_until_one_is_left(extent, block, voxels, shapes):
    grids = part_grids(BlockGrid(Box.of_shape(extent), block), voxels)
    assert [grid.shape for grid in grids] == [(n, n, n) for n in shapes]
    assert len(grids[-1]) == 1


def test_parts_grow_along_their_shortest_axis_first():
    (first, *_) = part_grids(BlockGrid(Box.of_shape((40, 400, 400)), (20, 50, 50)), 40 * 100 * 100)
    assert first.shape == (40, 100, 100)
