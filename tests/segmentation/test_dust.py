"""Rules for dust against their definition on voxels, and on graphs with a known answer."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.id_map import IdMap
from axonloom.assembly.lookup_table import relabel
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.region_graph import RegionGraph
from axonloom.segmentation.agglomeration import agglomerate
from axonloom.segmentation.dust import without_dust
from tests.segmentation import oracles
from tests.segmentation.blocked import Result, segment
from tests.segmentation.test_best_neighbour import defined
from tests.segmentation.test_exactness import blocks, volumes
from tests.segmentation.whole_graph import compose, pool


def clean_segmentation(result: Result, threshold: str, join: int, lowest: str, discard: int) -> np.ndarray:
    """The segmentation as the stages make it."""
    graph = result.graph
    segments = pool(graph.fragments.ids, agglomerate(graph.edges, "0.1"), threshold)
    segments = without_dust(segments, graph.fragments, graph.edges, join=join, lowest=lowest, discard=discard)
    return relabel(result.provisional, compose(graph.canonical, graph.fragments.ids, segments))


def defined_on_voxels(
    segmentation: np.ndarray, affinities: np.ndarray, join: int, lowest: str, discard: int
) -> np.ndarray:
    """Voxels of each segment and contacts between segments are counted in the volume itself."""
    ids, voxels = np.unique(segmentation[segmentation > 0], return_counts=True)
    ids = ids.astype(np.uint64)
    contacts = oracles.region_graph(segmentation, affinities)
    columns = np.array([(*pair, *contacts[pair]) for pair in sorted(contacts)], np.uint64).reshape(-1, 5).T.copy()
    edges = EdgeTable(*columns, best=columns[4])
    graph = RegionGraph(ObjectTable(ids, voxels.astype(np.uint64)), edges, IdMap(ids, ids))
    home, _ = defined(graph, join, Fraction(lowest))
    joined = np.zeros_like(segmentation)
    for old, new in home.items():
        joined[segmentation == old] = new
    result = np.zeros_like(segmentation)
    number = 0
    for i in np.unique(joined[joined > 0]):
        if np.count_nonzero(joined == i) >= discard:
            number += 1
            result[joined == i] = number
    return result


@settings(max_examples=60, deadline=None)
@given(
    volumes(largest=5),
    blocks,
    st.sampled_from(["0.1", "0.5", "0.9"]),
    st.integers(0, 40),
    st.sampled_from(["0", "0.05", "0.3"]),
    st.integers(0, 40),
    st.integers(0, 99),
)
def test_any_blocking_gives_the_definition(volume, block, threshold, join, lowest, discard, seed):
    affinities, low, high, mask = volume
    result = segment(affinities, block, low, high, mask, seed=seed)
    labels = oracles.fragments(affinities, low, high, mask)
    merges = oracles.agglomeration(oracles.region_graph(labels, affinities), Fraction("0.1"))
    merged = oracles.segments(labels, merges, Fraction(threshold))
    np.testing.assert_array_equal(
        clean_segmentation(result, threshold, join, lowest, discard),
        defined_on_voxels(merged, affinities, join, lowest, discard),
    )


@settings(max_examples=30, deadline=None)
@given(volumes(largest=16), blocks, blocks, st.integers(2, 300), st.integers(0, 100), st.integers(0, 99))
def test_two_blockings_agree(volume, one, other, join, discard, seed):
    affinities, low, high, mask = volume
    a, b = (segment(affinities, block, low, high, mask, seed=seed + n) for n, block in enumerate((one, other)))
    np.testing.assert_array_equal(
        clean_segmentation(a, "0.6", join, "0.05", discard), clean_segmentation(b, "0.6", join, "0.05", discard)
    )


#: A speck (3) of two fragments between two large segments, and one (4) that touches nothing well.
FRAGMENTS = ObjectTable(np.array([10, 20, 30, 31, 40], np.uint64), np.array([90, 80, 2, 3, 4], np.uint64))
SEGMENTS = np.array([1, 2, 3, 3, 4], np.uint64)
EDGES = EdgeTable(
    a=np.array([10, 10, 20, 20], np.uint64),
    b=np.array([30, 31, 30, 40], np.uint64),
    # Of the speck with 10: 30 and 90 of one contact each, mean 60. With 20: 70 of one contact.
    sum=np.array([30, 90, 70, 5], np.uint64),
    count=np.array([1, 1, 1, 1], np.uint64),
    key=np.array([1, 2, 3, 4], np.uint64),
    best=np.zeros(4, np.uint64),
)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, [1, 2, 3, 3, 4]),
        # The means of the whole speck decide, not those of its fragments: 31 alone would have gone to 10.
        ({"join": 6, "lowest": "0.05"}, [1, 2, 2, 2, 3]),
        ({"join": 5, "lowest": "0.05"}, [1, 2, 3, 3, 4]),
        ({"join": 6, "lowest": "0"}, [1, 2, 2, 2, 2]),
        ({"join": 6, "lowest": "0.3"}, [1, 2, 3, 3, 4]),
        ({"join": 6, "lowest": "0.05", "discard": 5}, [1, 2, 2, 2, 0]),
        ({"discard": 5}, [1, 2, 3, 3, 0]),
        ({"discard": 85}, [1, 0, 0, 0, 0]),
        ({"discard": 81, "join": 81, "lowest": "0.05"}, [1, 2, 2, 2, 0]),
        ({"discard": 91}, [0, 0, 0, 0, 0]),
    ],
)
def test_known_answers(rules, expected):
    assert without_dust(SEGMENTS, FRAGMENTS, EDGES, **rules).tolist() == expected


def test_no_fragments_at_all():
    nothing = np.zeros(0, np.uint64)
    assert without_dust(nothing, ObjectTable(nothing, nothing), EdgeTable.empty(), join=9, discard=9).tolist() == []


def test_dust_that_was_discarded_is_background_in_the_volume():
    table = compose(
        IdMap(np.array([5, 9], np.uint64), np.array([5, 5], np.uint64)),
        np.array([5], np.uint64),
        np.array([0], np.uint64),
    )
    assert (table.count, table.dtype) == (0, np.uint32)
    assert relabel(np.array([[[0, 5, 9]]], np.uint64), table).tolist() == [[[0, 0, 0]]]
