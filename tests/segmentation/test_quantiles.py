"""Agglomeration by quantiles: exact, from histograms that add up."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.thresholds import threshold_to_uint8
from axonloom.segmentation.agglomeration import agglomerate
from tests.segmentation import oracles
from tests.segmentation.blocked import assert_same_graph, segment
from tests.segmentation.test_exactness import volumes

PERCENTS = st.sampled_from([10, 25, 50, 75, 95])


def rows_of(dendrogram) -> list[tuple[int, int, Fraction, int]]:
    ends = zip(dendrogram.a.tolist(), dendrogram.b.tolist(), strict=True)
    return [(a, b, dendrogram.score(i), int(dendrogram.key[i])) for i, (a, b) in enumerate(ends)]


@st.composite
def graphs(draw):
    """Graphs with many equal quantiles; ``scale`` makes counts as large as a bin holds."""
    n = draw(st.integers(2, 10))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([1, 1, 1, 10**6]))
    filled = draw(st.integers(1, 4))
    pairs = [(i + 1, j + 1) for i in range(n) for j in range(i + 1, n) if rng.random() < 0.6]
    graph = {}
    for pair, key in zip(pairs, rng.permutation(len(pairs)), strict=True):
        counts = np.zeros(32, np.int64)
        np.add.at(counts, rng.choice([0, 3, 4, 15, 31], filled), scale * rng.integers(1, 3, filled))
        graph[pair] = (tuple(counts.tolist()), int(key) + 7)
    return graph


def table(graph) -> EdgeTable:
    pairs = sorted(graph)
    histogram = np.array([graph[p][0] for p in pairs], np.uint32).reshape(len(pairs), 32)
    a, b = np.array(pairs, np.uint64).reshape(-1, 2).T.copy()
    count = histogram.sum(axis=1, dtype=np.uint64)
    return EdgeTable(a, b, count, count, np.array([graph[p][1] for p in pairs], np.uint64), count, histogram)


@settings(max_examples=300, deadline=None)
@given(graphs(), PERCENTS, st.sampled_from(["0", "0.25", "0.5"]))
def test_equals_brute_force(graph, percent, lowest):
    dendrogram = agglomerate(table(graph), lowest, percent)
    assert rows_of(dendrogram) == oracles.quantile_agglomeration(graph, percent, Fraction(lowest))
    scores = [dendrogram.score(i) for i in range(len(dendrogram))]
    assert scores == sorted(scores, reverse=True)


@settings(max_examples=60, deadline=None)
@given(volumes(6), st.tuples(*(st.integers(1, 5),) * 3), st.sampled_from([0, 3]))
def test_histograms_are_those_of_the_volume_for_any_blocking(volume, block, absorbing):
    affinities, low, high, mask = volume
    result = segment(affinities, block, low, high, mask, absorbing=absorbing, histograms=True)
    if mask is None:
        edges = result.graph.edges
        ends = zip(edges.a.tolist(), edges.b.tolist(), strict=True)
        found = {pair: tuple(counts) for pair, counts in zip(ends, edges.histogram.tolist(), strict=True)}
        assert found == oracles.histograms(result.fragments, affinities)
    whole = segment(affinities, affinities.shape[1:], low, high, mask, absorbing=absorbing, histograms=True)
    assert_same_graph(result.graph, whole.graph)


def test_histograms_survive_a_file(tmp_path):
    rng = np.random.default_rng(0)
    affinities = rng.integers(0, 256, (3, 9, 8, 7), dtype=np.uint8)
    edges = segment(affinities, (4, 4, 4), 10, 256, histograms=True).graph.edges
    assert edges.bins == 32
    np.testing.assert_array_equal(edges.histogram.sum(axis=1), edges.count)
    for some in (edges, edges.taken(np.zeros(0, np.int64))):
        some.write(tmp_path / "edges.parquet")
        again = EdgeTable.read(tmp_path / "edges.parquet")
        np.testing.assert_array_equal(again.histogram, some.histogram)
        assert again.histogram.dtype == np.uint32


def test_real_affinities_in_blocks(fly_affinities):
    low, high = threshold_to_uint8("0.05"), threshold_to_uint8("0.99")
    whole, cut = (
        segment(fly_affinities, block, low, high, absorbing=50, histograms=True)
        for block in (fly_affinities.shape[1:], (32, 50, 64))
    )
    assert_same_graph(whole.graph, cut.graph)
    np.testing.assert_array_equal(whole.segmentation("0.1", "0.5", 50), cut.segmentation("0.1", "0.5", 50))


def test_quantiles_without_histograms_are_refused():
    edges = table({(1, 2): ((1,) * 32, 7)})
    with pytest.raises(ValueError, match="quantiles need edges with histograms"):
        agglomerate(replace(edges, histogram=np.zeros((1, 0), np.uint32)), "0", 50)


def test_more_contacts_than_a_bin_counts_are_refused():
    edges = table({(1, 2): ((1,) * 32, 7)})
    with pytest.raises(ValueError, match="4294967296 contacts: too many for a histogram"):
        replace(edges, count=np.array([2**32], np.uint64))
