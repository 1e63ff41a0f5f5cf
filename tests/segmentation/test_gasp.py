"""Agglomeration by the mean beside bioimage-cpp's GASP with mean linkage (Bailoni et al. 2022), on the same region graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bioimage_cpp.graph import UndirectedGraph
from bioimage_cpp.graph.agglomeration import GaspClusterPolicy

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.id_map import distinct
from axonloom.assembly.thresholds import threshold_to_uint8
from axonloom.assembly.union_find import canonical_positions
from axonloom.evaluation.contingency import ContingencyTable
from axonloom.segmentation.agglomeration import agglomerate
from tests.segmentation.blocked import segment

THRESHOLDS = ("0.1", "0.2", "0.3", "0.5", "0.8")


def theirs(edges: EdgeTable, threshold: str) -> np.ndarray:
    """A cluster for each object: they merge while the best mean is above 0, so means count from the threshold."""
    ids = distinct(edges.a, edges.b)
    graph = UndirectedGraph(len(ids))
    graph.insert_edges(np.stack([np.searchsorted(ids, edges.a), np.searchsorted(ids, edges.b)], 1).astype(np.uint64))
    weights = edges.sum / edges.count / 255 - float(threshold)
    return np.asarray(GaspClusterPolicy(linkage="mean").optimize(graph, weights, edge_sizes=edges.count.astype(float)))


def ours(edges: EdgeTable, threshold: str) -> np.ndarray:
    ids, merges = distinct(edges.a, edges.b), agglomerate(edges, "0.05")
    n = merges.merges_at(threshold)
    return canonical_positions(len(ids), np.searchsorted(ids, merges.a[:n]), np.searchsorted(ids, merges.b[:n]))


def pairs_of(edges: EdgeTable, threshold: str) -> tuple[int, int, int]:
    """Clusters of ours, of theirs, and pairs that share an object: one number three times if they are the same."""
    a, b = ours(edges, threshold), theirs(edges, threshold)
    shared = ContingencyTable.of(a.astype(np.uint64) + 1, b.astype(np.uint64) + 1)
    return len(np.unique(a)), len(np.unique(b)), len(shared)


@pytest.fixture(scope="module")
def graph(fly_affinities) -> EdgeTable:
    low, high = threshold_to_uint8("0.05"), threshold_to_uint8("0.99")
    return segment(fly_affinities, fly_affinities.shape[1:], low, high, absorbing=50).graph.edges


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_without_ties_it_is_the_same_partition(graph, threshold):
    """A prime number of contacts each, and sums beside the real ones: no two means are equal, nor any that arise."""
    random = np.random.default_rng(1)
    counts = graph.count * np.uint64(999_983) + random.integers(0, 1000, len(graph)).astype(np.uint64)
    sums = (graph.sum / graph.count * counts).astype(np.uint64) + random.integers(0, 10**6, len(graph)).astype(
        np.uint64
    )
    a, b, shared = pairs_of(replace(graph, sum=np.minimum(sums, 255 * counts), count=counts), threshold)
    assert a == b == shared
    assert a > 10


def test_on_the_real_graph_only_ties_differ(graph):
    for threshold in THRESHOLDS:
        a, b, shared = pairs_of(graph, threshold)
        assert abs(a - b) <= 0.01 * a
        assert shared <= 1.01 * a
