"""Joining best neighbours against its definition in Python's own integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.id_map import IdMap
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.region_graph import RegionGraph
from axonloom.segmentation.best_neighbour import join_best_neighbours
from tests.segmentation.oracles import components

Pair = tuple[int, int]


@st.composite
def graphs(draw: st.DrawFn) -> RegionGraph:
    """Few scores and sizes, so that ties are everywhere."""
    n = draw(st.integers(1, 12))
    ids = np.sort(draw(st.lists(st.integers(1, 2**40), min_size=n, max_size=n, unique=True)))
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    keys = draw(st.permutations(range(len(chosen))))
    counts = [draw(st.integers(1, 3)) for _ in chosen]
    sums = [draw(st.integers(0, 4)) * 60 * count // 4 for count in counts]
    voxels = [draw(st.integers(1, 6)) for _ in range(n)]
    columns = [[ids[i] for i, _ in chosen], [ids[j] for _, j in chosen], sums, counts, keys]
    return graph(ids, voxels, columns)


def graph(ids: np.ndarray, voxels: list[int], columns: list[list[int]]) -> RegionGraph:
    columns = [*columns, columns[4]]
    edges = EdgeTable(*(np.array(column, np.uint64) for column in columns)).aggregated()
    ids = np.array(ids, np.uint64)
    return RegionGraph(ObjectTable(ids, np.array(voxels, np.uint64)), edges, IdMap(ids, ids))


def defined(start: RegionGraph, smaller_than: int, lowest: Fraction) -> tuple[dict[int, int], dict[Pair, list[int]]]:
    """Rounds of: every small fragment chooses; all choices are made at once; everything is added up."""
    sizes = dict(zip(start.fragments.ids.tolist(), start.fragments.voxels.tolist(), strict=True))
    home = {i: i for i in sizes}
    e = start.edges
    rows = zip(e.a.tolist(), e.b.tolist(), e.sum.tolist(), e.count.tolist(), e.key.tolist(), strict=True)
    edges = {(a, b): [s, c, k] for a, b, s, c, k in rows}
    while True:
        members = sorted(sizes)
        joins = []
        for i in members:
            around = [
                (-Fraction(s, c), k, pair)
                for pair, (s, c, k) in edges.items()
                if i in pair and Fraction(s, c) >= 255 * lowest
            ]
            if sizes[i] < smaller_than and around:
                joins.append(tuple(members.index(m) for m in min(around)[2]))
        if not joins:
            return home, edges
        now = {old: members[new] for old, new in zip(members, components(len(members), joins), strict=True)}
        home = {i: now[j] for i, j in home.items()}
        sizes = {m: sum(n for old, n in sizes.items() if now[old] == m) for m in set(now.values())}
        added: dict[Pair, list[int]] = {}
        for (a, b), (s, c, k) in edges.items():
            pair = min(now[a], now[b]), max(now[a], now[b])
            if pair[0] != pair[1]:
                old = added.get(pair, [0, 0, 0])
                added[pair] = [old[0] + s, old[1] + c, max(old[2], k)]
        edges = added


@given(graphs(), st.integers(0, 12), st.sampled_from(["0", "0.05", "0.1", "0.2"]))
@settings(max_examples=200, deadline=None)
def test_it_is_its_definition(start, smaller_than, lowest):
    found = join_best_neighbours(start, smaller_than, lowest)
    home, edges = defined(start, smaller_than, Fraction(lowest))
    assert dict(zip(found.canonical.ids.tolist(), found.canonical.targets.tolist(), strict=True)) == home
    e = found.edges
    rows = zip(e.a.tolist(), e.b.tolist(), e.sum.tolist(), e.count.tolist(), e.key.tolist(), strict=True)
    assert {(a, b): [s, c, k] for a, b, s, c, k in rows} == edges
    assert found.fragments.ids.tolist() == sorted(set(home.values()))
    assert found.fragments.voxels.sum() == start.fragments.voxels.sum()


def test_provisional_ids_lead_to_what_they_joined():
    start = graph(np.array([10, 20, 30]), [1, 9, 9], [[10, 20], [30, 30], [200, 10], [1, 1], [5, 6]])
    start = RegionGraph(
        start.fragments,
        start.edges,
        IdMap(np.array([3, 10, 20, 30], np.uint64), np.array([30, 10, 20, 30], np.uint64)),
    )
    found = join_best_neighbours(start, 2, "0.05")
    assert found.canonical.targets.tolist() == [10, 10, 20, 10]
    assert found.fragments.ids.tolist() == [10, 20]
    assert found.fragments.voxels.tolist() == [10, 9]


@pytest.mark.parametrize("smaller_than", [0, 1])
def test_nothing_joins_when_none_is_small(smaller_than):
    start = graph(np.array([1, 2]), [1, 1], [[1], [2], [255], [1], [0]])
    assert join_best_neighbours(start, smaller_than, "0").fragments.ids.tolist() == [1, 2]


def test_statistics_beyond_64_bits_are_compared_exactly():
    """The two means differ in their nineteenth digit."""
    count = 2**55
    start = graph(
        np.array([1, 2, 3]), [1, 9, 9], [[1, 1], [2, 3], [100 * count, 100 * count + 1], [count, count], [7, 8]]
    )
    assert join_best_neighbours(start, 2, "0").canonical.targets.tolist() == [1, 2, 1]
