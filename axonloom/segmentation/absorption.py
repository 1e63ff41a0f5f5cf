"""Specks into their best neighbours, before any score for merging is taken.

A watershed of real affinities leaves most fragments as specks in membranes. They carry five edges each, and a greedy
agglomeration that starts among them is led by noise. Here all fragments below a size join, at the same time, the neighbour
with which their mean affinity is highest; statistics are added up; and again, until none is left that may join. Which
fragments join is a function of the whole region graph alone, so it does not know of blocks.
"""

from __future__ import annotations

import numpy as np

from axonloom.assembly.exact_fractions import compare
from axonloom.assembly.id_map import IdMap, positions
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.region_graph import RegionGraph
from axonloom.assembly.thresholds import FULL_SCALE, Threshold, threshold_fraction
from axonloom.assembly.union_find import canonical_positions
from axonloom.kernel import kernel

NONE = -1


def absorb(graph: RegionGraph, smaller_than: int, lowest: Threshold) -> RegionGraph:
    """The region graph in which small fragments have joined their best neighbours.

    Parameters
    ----------
    graph : RegionGraph
    smaller_than : int
        Fragments of fewer voxels join; 0 and 1: none do.
    lowest : decimal of 0..1
        Mean affinity below which none joins: what touches nothing that is better stays as it is.

    Returns
    -------
    RegionGraph
        A fragment's id is still the smallest of those that it is made of, and its statistics are their sums.

    Raises
    ------
    ThresholdError
        ``lowest`` is not a number of 0..1.
    """
    floor = threshold_fraction(lowest) * FULL_SCALE
    targets, fragments, edges = graph.fragments.ids, graph.fragments, graph.edges
    while True:
        a, b = (positions(fragments.ids, ends, "the graph") for ends in (edges.a, edges.b))
        # Sums, counts and keys stay below 2**63.
        total, count, key = (column.view(np.int64) for column in (edges.sum, edges.count, edges.key))
        small = fragments.voxels < smaller_than
        best = _best_edges(a, b, total, count, key, small, floor.numerator, floor.denominator)
        joins = best[best != NONE]
        if len(joins) == 0:
            break
        ids = fragments.ids[canonical_positions(len(fragments), a[joins], b[joins])]
        targets = ids[positions(fragments.ids, targets, "the graph")]
        edges = edges.relabelled(fragments.ids, ids).aggregated()
        fragments = ObjectTable.summed(ids, fragments.voxels)
    joined = IdMap(graph.fragments.ids, targets)
    return RegionGraph(fragments, edges, IdMap(graph.canonical.ids, joined.lookup(graph.canonical.targets)))


@kernel
def _best_edges(a, b, total, count, key, small, floor_numerator, floor_denominator):
    """For each small node its best edge in the order (mean affinity down, key up), or NONE; NONE for all others.

    No two edges share a key, so the order is strict, and no circle of more than two nodes can choose one another.
    """
    best = np.full(len(small), NONE, np.int64)
    for e in range(len(a)):
        if not (small[a[e]] or small[b[e]]):
            continue
        if compare(total[e], count[e], floor_numerator, floor_denominator) < 0:
            continue
        for node in (a[e], b[e]):
            if not small[node]:
                continue
            other = best[node]
            if other == NONE:
                best[node] = e
                continue
            order = compare(total[e], count[e], total[other], count[other])
            if order > 0 or (order == 0 and key[e] < key[other]):
                best[node] = e
    return best
