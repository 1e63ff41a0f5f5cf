"""Open fragments that take in small ones: what they had before that is not forgotten."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.assembly.edge_table import INDEX_BITS
from axonloom.geometry import BlockGrid
from axonloom.segmentation.agglomeration import agglomerate
from tests.segmentation.blocked import assert_same_graph, segment
from tests.segmentation.parts import Tree


def line(along_x: list[int]) -> np.ndarray:
    """Affinities (3, 1, 1, n) of a row of voxels, from those of each voxel and the one before it."""
    found = np.zeros((3, 1, 1, len(along_x)), np.uint8)
    found[2, 0, 0] = along_x
    return found


def test_an_open_fragment_was_small_when_its_neighbour_asked():
    """L L L L | A A C C: first L takes A in (120), which is small; then C comes to A (110). Block 2 only knows the latter."""
    affinities = line([0, 200, 200, 200, 120, 220, 110, 210])
    found = segment(affinities, (1, 1, 4), 10, 256, absorbing=3)
    growth = found.blocks[1].growth
    assert growth.ids.tolist() == [5]
    assert growth.voxels.tolist() == [2]
    # The contact of A and C: its affinity, and the edge of voxel 6 along x.
    assert growth.since.tolist() == [(255 - 110) << INDEX_BITS | 3 * 6 + 2]
    assert found.blocks[1].objects.voxels.tolist() == [4]
    assert found.fragments.ravel().tolist() == [1] * 8
    # With the contacts the other way round A is large by then, and L is too.
    assert segment(
        line([0, 200, 200, 200, 110, 220, 120, 210]), (1, 1, 4), 10, 256, absorbing=3
    ).fragments.ravel().tolist() == ([1] * 4 + [5] * 4)


def test_growth_is_told_until_the_fragment_is_large():
    """A A | B B C C D D E E: B takes in C, D and E in this order, and is large with D."""
    affinities = line([0, 250, 10, 250, 140, 240, 130, 230, 120, 220])
    (_, block) = segment(affinities, (1, 1, 2), 5, 256, absorbing=6).blocks[:2]
    assert len(block.growth) == 0
    found = segment(affinities[..., 2:], (1, 1, 8), 5, 256, absorbing=6)
    assert len(found.blocks[0].growth) == 0, "nothing is open"
    blocks = segment(
        np.concatenate([affinities[..., :1]] * 6 + [affinities], axis=3), (1, 1, 8), 5, 256, absorbing=6
    ).blocks
    growth = blocks[1].growth
    assert growth.voxels.tolist() == [2, 4]
    assert (255 - (growth.since >> np.uint64(INDEX_BITS))).tolist() == [140, 130]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(20, 60), st.integers(2, 5)), min_size=3, max_size=16),
    st.integers(1, 9),
    st.lists(st.integers(2, 4), max_size=3),
    st.integers(3, 14),
)
def test_rows_in_any_blocks_and_parts(fragments, block, times, absorbing):
    """Fragments of some voxels each, and how strong each one's contact with the one before it is."""
    affinities = line([a for contact, voxels in fragments for a in (contact, *[200] * (voxels - 1))])
    whole = segment(affinities, affinities.shape[1:], 25, 256, absorbing=absorbing)
    found = segment(affinities, (1, 1, block), 25, 256, absorbing=absorbing)
    np.testing.assert_array_equal(found.fragments, whole.fragments)
    assert_same_graph(found.graph, whole.graph)
    region, width = found.grid.region, block
    grids = [BlockGrid(region, (1, 1, width := width * n)) for n in times]
    tree = Tree(found.grid, found.blocks, [*grids, BlockGrid(region, region.shape)], absorbing, 25, "0.1")
    dendrogram = agglomerate(whole.graph.edges, "0.1")
    columns = (getattr(dendrogram, name).tolist() for name in ("a", "b", "sum", "count", "key"))
    assert tree.merges() == list(zip(*columns, strict=True))
