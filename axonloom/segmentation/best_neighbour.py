"""Small objects of a region graph into the neighbours that they most belong to.

All objects below a size join, at the same time, the neighbour with which their mean affinity is highest; statistics are added
up; and again, until none is left that may join. Which objects join is a function of the whole region graph alone, so it does
not know of blocks.
"""

from __future__ import annotations

import numpy as np

from axonloom.assembly.exact_fractions import compare
from axonloom.assembly.region_graph import RegionGraph
from axonloom.assembly.thresholds import FULL_SCALE, Threshold, threshold_fraction
from axonloom.assembly.union_find import canonical_positions
from axonloom.kernel import kernel

NONE = -1


def join_best_neighbours(graph: RegionGraph, smaller_than: int, lowest: Threshold) -> RegionGraph:
    """The region graph in which small objects have joined their best neighbours.

    Parameters
    ----------
    graph : RegionGraph
    smaller_than : int
        Objects of fewer voxels join; 0 and 1: none do.
    lowest : decimal of 0..1
        Mean affinity below which none joins: what touches nothing that is better stays as it is.

    Returns
    -------
    RegionGraph
        An object's id is still the smallest of those that it is made of, and its statistics are their sums.

    Raises
    ------
    ThresholdError
        ``lowest`` is not a number of 0..1.
    """
    floor = threshold_fraction(lowest) * FULL_SCALE
    while True:
        a, b = ends = graph.ends()
        # Sums, counts and keys stay below 2**63.
        total, count, key = (column.view(np.int64) for column in (graph.edges.sum, graph.edges.count, graph.edges.key))
        small = graph.fragments.voxels < smaller_than
        best = _best_edges(a, b, total, count, key, small, floor.numerator, floor.denominator)
        joins = best[best != NONE]
        if len(joins) == 0:
            return graph
        graph = graph.contracted(canonical_positions(len(small), a[joins], b[joins]), ends)


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
