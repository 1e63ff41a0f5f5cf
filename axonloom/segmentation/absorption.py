"""Specks into their strongest neighbours, before any score for merging is taken.

A watershed of real affinities leaves most fragments as specks in membranes. They carry five edges each, and a greedy
agglomeration that starts among them is led by noise. Here pairs of voxels in contact are gone through from the strongest
down, and two fragments become one when either is still small: Kruskal's algorithm (1956) with a size rule, as in the
watershed of Zlateski and Seung (2015, arXiv:1505.00249).

The order is that of the watershed itself, affinity down and then global edge index up. It is strict, and no merging changes
it, so the result is a function of the volume alone. It also lets a block settle most of it before anything is written: a
small fragment that lies within the block joins its strongest neighbour whatever that is elsewhere. What touches a face, and
is not known to be large, is open; it waits for what lies around, together with the small ones whose strongest neighbour it is.
"""

from __future__ import annotations

import numpy as np

from axonloom.assembly.edge_table import INDEX_BITS
from axonloom.assembly.id_map import IdMap, positions
from axonloom.assembly.region_graph import RegionGraph
from axonloom.assembly.thresholds import FULL_SCALE
from axonloom.assembly.union_find import find
from axonloom.kernel import kernel
from axonloom.segmentation.fragments import BlockFragments


def absorb(graph: RegionGraph, smaller_than: int, low: int) -> RegionGraph:
    """The region graph in which small fragments have joined their strongest neighbours.

    Parameters
    ----------
    graph : RegionGraph
        Of the whole volume.
    smaller_than : int
        Fragments of fewer voxels join; 0 and 1: none do.
    low : int
        Affinity (0..255) below which no pair of voxels joins two fragments.

    Returns
    -------
    RegionGraph
        A fragment's id is still the smallest of those that it is made of, and its statistics are their sums.
    """
    return absorb_part(graph, smaller_than, low, np.empty(0, np.uint64))[0]


def absorb_part(
    graph: RegionGraph, smaller_than: int, low: int, open_ids: np.ndarray
) -> tuple[RegionGraph, np.ndarray]:
    """As much of :func:`absorb` as the rest of the volume cannot change, for a part of it.

    Parameters
    ----------
    graph : RegionGraph
        Of the part.
    smaller_than, low
        Those of :func:`absorb`.
    open_ids : uint64 (n,)
        Fragments that go on outside the part: their voxels and contacts are not all known.

    Returns
    -------
    RegionGraph
        Absorbing the joined graphs of all parts gives what absorbing the whole gives.
    waiting : uint64, ascending
        Its small fragments that may still join another, or be joined by one.
    """
    ids, voxels, best = graph.fragments.ids, graph.fragments.voxels, graph.edges.best
    a, b = ends = graph.ends()
    small = voxels < smaller_than
    affinity = FULL_SCALE - (best >> np.uint64(INDEX_BITS)).view(np.int64)
    able = np.flatnonzero((affinity >= low) & (small[a] | small[b]))
    strongest_first = able[np.argsort(best[able])]
    is_open = np.zeros(len(ids), np.bool_)
    is_open[positions(ids, open_ids, "the graph")] = True
    first, waits = _joined(a[strongest_first], b[strongest_first], voxels.astype(np.int64), is_open, smaller_than)
    return (graph.contracted(first, ends) if len(able) else graph), ids[waits]


def absorb_in_block(block: BlockFragments, smaller_than: int, low: int) -> BlockFragments:
    """The fragments of one block, of which as many have been absorbed as the rest of the volume cannot change.

    The parameters are those of :func:`absorb`, what is left is done with :func:`absorb_part` where blocks are put together.
    """
    at_faces = np.zeros(len(block.ids), np.bool_)
    for plane in block.faces.planes_of(block.numbers):
        at_faces[plane] = True
    given = RegionGraph(block.objects, block.edges, IdMap(block.objects.ids, block.objects.ids))
    graph, _ = absorb_part(given, smaller_than, low, block.ids[1:][at_faces[1:]])
    ids = np.concatenate([block.ids[:1], graph.canonical.targets])
    return BlockFragments(
        core=block.core,
        numbers=block.numbers,
        ids=ids,
        objects=graph.fragments,
        edges=graph.edges,
        faces=block.faces.with_labels(ids[plane] for plane in block.faces.planes_of(block.numbers)),
    )


@kernel
def _joined(a, b, voxels, is_open, smaller_than):
    """For each fragment the first of those that it has become one with, over pairs given from the strongest down; which wait.

    A large fragment stays large and so is settled even where it is open: nothing that it meets later depends on its size. An
    open one that may be small is not, and so the small ones for which it comes first are not either.
    """
    parents = np.arange(len(voxels))
    for k in range(len(a)):
        i, j = find(parents, a[k]), find(parents, b[k])
        if i == j:
            continue
        small_i, small_j = voxels[i] < smaller_than, voxels[j] < smaller_than
        if (is_open[i] and small_i) or (is_open[j] and small_j):
            is_open[i] |= small_i
            is_open[j] |= small_j
        elif small_i or small_j:
            first, second = min(i, j), max(i, j)
            parents[second] = first
            voxels[first] += voxels[second]
            is_open[first] |= is_open[second]
    waits = np.zeros(len(parents), np.bool_)
    for i in range(len(parents)):
        parents[i] = parents[parents[i]]
        waits[i] = parents[i] == i and is_open[i] and voxels[i] < smaller_than
    return parents, waits
