from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.thresholds import ThresholdError
from axonloom.segmentation.agglomeration import agglomerate
from tests.segmentation import oracles

NAMES = ("a", "b", "sum", "count", "key")


def table(rows: list[tuple[int, int, int, int, int]]) -> EdgeTable:
    columns = zip(*rows, strict=True) if rows else [[]] * 5
    return EdgeTable(*(np.array(list(c), np.uint64) for c in columns), best=np.zeros(len(rows), np.uint64))


def rows_of(dendrogram) -> list[tuple[int, ...]]:
    return list(zip(*(getattr(dendrogram, name).tolist() for name in NAMES), strict=True))


@st.composite
def graphs(draw):
    """Graphs with many equal means; ``scale`` takes sums and counts past what their products hold in 64 bits."""
    n = draw(st.integers(2, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = draw(st.sampled_from([1, 1, 10**9, 10**12]))
    jitter = draw(st.sampled_from([1, 2, 5]))
    ids = np.sort(rng.choice(10**6, n, replace=False)) + 1
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n) if rng.random() < 0.5]
    keys = rng.permutation(len(pairs)) + 7
    graph = {}
    for (i, j), key in zip(pairs, keys, strict=True):
        count = int(rng.integers(1, 4)) * scale + int(rng.integers(0, jitter))
        total = int(rng.integers(0, 4)) * 60 * count + int(rng.integers(0, jitter))
        graph[int(ids[i]), int(ids[j])] = (total, count, int(key))
    return graph


@settings(max_examples=300, deadline=None)
@given(graphs(), st.sampled_from(["0", "0.235294", "0.5"]))
def test_equals_brute_force(graph, lowest):
    merges = oracles.agglomeration(graph, Fraction(lowest))
    dendrogram = agglomerate(table([(*pair, *graph[pair]) for pair in sorted(graph)]), lowest)
    assert rows_of(dendrogram) == merges
    scores = [dendrogram.score(i) for i in range(len(dendrogram))]
    assert scores == sorted(scores, reverse=True)
    for threshold in ("0.5", "0.25", "0.47", "0.235294"):
        if Fraction(threshold) >= Fraction(lowest):
            assert dendrogram.merges_at(threshold) == sum(s >= Fraction(threshold) for s in scores)


def test_many_edges_equal_brute_force_in_any_row_order():
    rng = np.random.default_rng(0)
    pairs = {tuple(sorted(rng.choice(150, 2, replace=False).tolist())) for _ in range(700)}
    graph = {}
    for key, (a, b) in enumerate(sorted(pairs)):
        count = int(rng.integers(1, 6))
        graph[a + 1, b + 1] = (int(rng.integers(0, 8)) * 30 * count, count, 3 * key)
    merges = oracles.agglomeration(graph, Fraction(0))
    rows = [(*pair, *values) for pair, values in graph.items()]
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(rows))
        assert rows_of(agglomerate(table([rows[i] for i in order]))) == merges


def test_a_star_of_many_leaves():
    """A hub that swallows every leaf: each merge must cost by the leaf, not by the hub."""
    n = 200_000
    leaves = np.arange(2, n + 2, dtype=np.uint64)
    ones = np.ones(n, np.uint64)
    edges = EdgeTable(ones, leaves, ones * np.uint64(9), ones, leaves[::-1].copy(), ones)
    dendrogram = agglomerate(edges)
    np.testing.assert_array_equal(dendrogram.b, leaves[::-1])
    assert (dendrogram.a == 1).all()


def test_means_one_part_in_ten_to_the_22_apart():
    """Both means agree in more than 64 bits; in floats or 64-bit products they are equal or reversed."""
    big = 10**11
    graph = {
        (1, 2): (100 * big + 33, big + 1, 5),
        (3, 4): (100 * big + 33, big + 1, 4),
        (5, 6): (100 * (big + 7) - 67 + 33 - 33, big + 7 - 1, 1),
    }
    merges = oracles.agglomeration(graph, Fraction(0))
    assert rows_of(agglomerate(table([(*p, *v) for p, v in graph.items()]))) == merges
    close = {(1, 2): (10**11, 10**11 - 1, 1), (3, 4): (10**11 - 1, 10**11 - 2, 2)}
    assert rows_of(agglomerate(table([(*p, *v) for p, v in close.items()])))[0][:2] == (3, 4)


def test_threshold_is_a_decimal_not_a_float():
    """A mean of exactly 0.7: as floats 0.7 * 255 is 178.49999999999997, and 1 - 0.7 is not 0.3."""
    dendrogram = agglomerate(table([(1, 2, 357, 2, 1)]), "0.7")
    assert dendrogram.merges_at("0.7") == dendrogram.merges_at(0.7) == 1
    assert dendrogram.merges_at("0.7000000000000000000001") == 0
    with pytest.raises(ThresholdError, match="below"):
        dendrogram.merges_at("0.6999999999999999999999")


def test_refusals():
    with pytest.raises(ValueError, match="twice"):
        agglomerate(table([(1, 2, 3, 1, 1), (1, 2, 3, 1, 2)]))
    for wrong in ("1.5", "-0.1", "nan", "inf", "half"):
        with pytest.raises(ThresholdError):
            agglomerate(EdgeTable.empty(), wrong)
    assert len(agglomerate(EdgeTable.empty())) == 0
