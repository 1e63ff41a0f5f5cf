"""Multicut: costs by their formula, the greedy contraction by its definition, known answers, and any blocking."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.lookup_table import numbered, relabel
from axonloom.segmentation.multicut import edge_costs, multicut
from tests.segmentation.blocked import Result, segment
from tests.segmentation.test_exactness import blocks, volumes
from tests.segmentation.whole_graph import compose


def graph(rows: list[tuple[int, int, int, int]]) -> EdgeTable:
    """From (a, b, mean affinity of 0..255, contacts)."""
    columns = np.array([(a, b, mean * n, n, k) for k, (a, b, mean, n) in enumerate(rows)], np.uint64)
    return EdgeTable(*columns.reshape(-1, 5).T.copy(), best=np.zeros(len(rows), np.uint64))


def partition(ids: list[int], rows: list[tuple[int, int, int, int]], beta: str = "0.5", weight="none") -> list[int]:
    return multicut(np.array(ids, np.uint64), graph(rows), beta, weight).targets.tolist()


@pytest.mark.parametrize(("weight", "factor"), [("none", 1), ("root", 3), ("contacts", 9)])
@pytest.mark.parametrize(("mean", "beta"), [(0, "0.5"), (51, "0.2"), (200, "0.2"), (255, "0.7")])
def test_costs_are_the_log_odds_of_no_boundary(mean, beta, weight, factor):
    found = edge_costs(graph([(1, 2, mean, 9)]), beta, weight)
    boundary = 0.001 + 0.998 * (1 - mean / 255)
    expected = math.log((1 - boundary) / boundary) + math.log((1 - float(beta)) / float(beta))
    assert found.tolist() == [round(expected * 65536) * factor]


def contracted(ids: list[int], costs: dict[tuple[int, int], int]) -> list[int] | None:
    """Greedy additive edge contraction; None where two costs tie for the next step."""
    home = {i: i for i in ids}
    while costs:
        best = max(costs.values())
        if best <= 0:
            break
        pairs = [pair for pair, cost in costs.items() if cost == best]
        if len(pairs) > 1:
            return None
        a, b = pairs[0]
        home = {i: a if j == b else j for i, j in home.items()}
        added: dict[tuple[int, int], int] = {}
        for (u, v), cost in costs.items():
            u, v = sorted((a if u == b else u, a if v == b else v))
            if u != v:
                added[u, v] = added.get((u, v), 0) + cost
        costs = added
    return [home[i] for i in ids]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(2, 9), st.data(), st.sampled_from(["0.2", "0.5", "0.7"]), st.sampled_from(["none", "root", "contacts"])
)
def test_it_is_its_definition_wherever_no_costs_tie(n, data, beta, weight):
    ids = list(range(3, 3 + 2 * n, 2))
    pairs = [(a, b) for a in ids for b in ids if a < b]
    chosen = sorted(data.draw(st.lists(st.sampled_from(pairs), unique=True, min_size=1)))
    rows = [(a, b, data.draw(st.integers(0, 255)), data.draw(st.integers(1, 40))) for a, b in chosen]
    costs = [int(c) for c in edge_costs(graph(rows), beta, weight)]
    expected = contracted(ids, dict(zip(chosen, costs, strict=True)))
    if expected is not None:
        assert partition(ids, rows, beta, weight) == expected


def test_what_speaks_against_a_merger_counts():
    """2 is one with 1 and one with 3, but 1 and 3 are surely apart: the better pair stays, and takes the other's no with it."""
    assert partition([1, 2, 3], [(1, 2, 230, 1), (1, 3, 5, 1), (2, 3, 200, 1)]) == [1, 1, 3]
    assert partition([1, 2, 3], [(1, 2, 230, 1), (2, 3, 200, 1)]) == [1, 1, 1]


def test_the_size_of_a_contact_counts_when_it_shall():
    """A hole of one voxel in a large membrane between 1 and 3."""
    rows = [(1, 2, 200, 20), (1, 3, 70, 100), (2, 3, 250, 1)]
    assert partition([1, 2, 3], rows, weight="none") == [1, 1, 1]
    assert partition([1, 2, 3], rows, weight="contacts") == [1, 1, 3]


def test_beta_moves_the_line():
    rows = [(1, 2, 77, 5)]
    assert [partition([1, 2], rows, beta) for beta in ("0.2", "0.4")] == [[1, 1], [1, 2]]


def test_equal_costs_are_broken_by_the_order_of_the_graph():
    rows = [(1, 2, 200, 1), (2, 3, 200, 1), (1, 3, 20, 1)]
    found = partition([1, 2, 3], sorted(rows))
    assert found in ([1, 1, 3], [1, 2, 2])
    assert all(partition([1, 2, 3], sorted(rows)) == found for _ in range(20))


def test_fragments_without_a_neighbour_stay_as_they_are():
    assert partition([4, 7, 9], [(7, 9, 255, 1)]) == [4, 7, 7]
    assert partition([4, 7, 9], []) == [4, 7, 9]
    assert partition([], []) == []


@pytest.mark.parametrize(
    ("beta", "weight", "words"), [("1", "none", "beta"), ("0", "none", "beta"), ("0.5", "size", "size")]
)
def test_wrong_settings_are_named(beta, weight, words):
    with pytest.raises(ValueError, match=words):
        edge_costs(graph([(1, 2, 9, 9)]), beta, weight)


def segmentation(result: Result, beta: str, weight) -> np.ndarray:
    ids = result.graph.fragments.ids
    segments = numbered(multicut(ids, result.graph.edges, beta, weight).targets)
    return relabel(result.provisional, compose(result.graph.canonical, ids, segments))


@settings(max_examples=60, deadline=None)
@given(volumes(largest=12), blocks, st.sampled_from(["none", "root", "contacts"]), st.integers(0, 99))
def test_any_blocking_gives_the_whole(volume, block, weight, seed):
    affinities, low, high, mask = volume
    whole = segment(affinities, affinities.shape[1:], low, high, mask)
    blocked = segment(affinities, block, low, high, mask, seed=seed)
    np.testing.assert_array_equal(segmentation(whole, "0.3", weight), segmentation(blocked, "0.3", weight))


@pytest.mark.parametrize("block", [(1, 1, 6), (1, 1, 3), (1, 1, 1)])
def test_a_row_in_two_blocks_has_a_known_answer(block):
    """Six voxels, pairs of two by affinities of 1; between the pairs 0.6 (a merger at beta 0.5) and 0.2 (none).

    In blocks of three voxels the middle pair lies in both.
    """
    affinities = np.zeros((3, 1, 1, 6), np.uint8)
    affinities[2, 0, 0] = [0, 255, 153, 255, 51, 255]
    result = segment(affinities, block, 250, 256)
    assert len(result.graph.fragments) == 3
    assert [
        Fraction(int(s), int(c) * 255) for s, c in zip(result.graph.edges.sum, result.graph.edges.count, strict=True)
    ] == [
        Fraction(3, 5),
        Fraction(1, 5),
    ]
    assert segmentation(result, "0.5", "root").ravel().tolist() == [1, 1, 1, 1, 2, 2]
    assert segmentation(result, "0.1", "root").ravel().tolist() == [1, 1, 1, 1, 1, 1]
    assert segmentation(result, "0.7", "root").ravel().tolist() == [1, 1, 2, 2, 3, 3]
