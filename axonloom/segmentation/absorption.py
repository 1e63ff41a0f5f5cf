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
from axonloom.assembly.region_graph import RegionGraph
from axonloom.assembly.thresholds import FULL_SCALE
from axonloom.assembly.union_find import find
from axonloom.kernel import inlined, kernel
from axonloom.segmentation.contacts import Contacts


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
    ends = graph.ends()
    voxels, is_open = graph.fragments.voxels.astype(np.int64), np.zeros(len(graph.fragments), np.bool_)
    first, _ = join_small(*ends, graph.edges.best, voxels, is_open, smaller_than, low)
    return graph.contracted(first, ends) if (first != np.arange(len(first))).any() else graph


def join_small(
    a: np.ndarray,
    b: np.ndarray,
    best: np.ndarray,
    voxels: np.ndarray,
    is_open: np.ndarray,
    smaller_than: int,
    low: int,
) -> tuple[np.ndarray, np.ndarray]:
    """As much of :func:`absorb` as the rest of the volume cannot change, for a part of it.

    Parameters
    ----------
    a, b : uint32
        Which two of the part's n fragments each edge joins. A pair may have several edges.
    best : uint64
        As in an :class:`~axonloom.assembly.edge_table.EdgeTable`.
    voxels : int64 (n,)
        Those of each fragment; brought up to date.
    is_open : bool (n,)
        Fragments that go on outside the part, so that their voxels and contacts are not all known; brought up to date: small
        ones whose strongest contact is a small one of these are open too.
    smaller_than, low
        Those of :func:`absorb`.

    Returns
    -------
    first : int64 (n,)
        For each fragment the first of those that are now one with it. Absorbing the joined graphs of all parts gives what
        absorbing the whole gives.
    waits : bool (n,)
        Small fragments that may still join another, or be joined by one.
    """
    small = voxels < smaller_than
    affinity = FULL_SCALE - (best >> np.uint64(INDEX_BITS)).view(np.int64)
    able = np.flatnonzero((affinity >= low) & (small[a] | small[b]))
    strongest_first = able[np.argsort(best[able])]
    return _joined(a[strongest_first], b[strongest_first], voxels, is_open, smaller_than)


def absorb_basins(
    contacts: Contacts, voxels: np.ndarray, is_open: np.ndarray, smaller_than: int, low: int
) -> np.ndarray:
    """As much of :func:`absorb` as the rest of the volume cannot change, for one block, from its voxels.

    A watershed leaves some 200 basins in a thousand voxels and six contacts to each. So here the pairs of voxels are gone through
    themselves, before there is a graph: sorting them into 256 bins takes less time than counting contacts that soon vanish.

    Parameters
    ----------
    contacts : Contacts
        Of the basins 1..n in the block's core.
    voxels : uint64 (n + 1,)
        How many of the core's voxels each has.
    is_open : bool (n + 1,)
        Basins that go on outside the core.
    smaller_than, low
        Those of :func:`absorb`.

    Returns
    -------
    int64 (n + 1,)
        For each basin the first of those that are now one with it.
    """
    pairs = _pairs_strongest_first(contacts.pairs, contacts.affinity, contacts.index, voxels < smaller_than, low)
    return _joined_by_voxels(pairs, voxels.astype(np.int64), is_open, smaller_than)


@kernel
def renumber(numbers, first, ids, voxels):
    """Number what is left 1.. in the old order, in place; ``first[i]`` <= i is what number i is now part of.

    Returns ids and voxel counts by new number, and the new number (uint32) of each old one.
    """
    new = np.zeros(len(first), np.uint32)
    n = 0
    for i in range(1, len(first)):
        if first[i] == i:
            n += 1
            new[i] = n
        else:
            new[i] = new[first[i]]
    left_ids, left_voxels = np.zeros(n + 1, np.uint64), np.zeros(n + 1, np.uint64)
    for i in range(len(first) - 1, 0, -1):
        left_ids[new[i]] = ids[i]
        left_voxels[new[i]] += voxels[i]
    for i in range(len(numbers)):
        numbers[i] = new[numbers[i]]
    return left_ids, left_voxels, new


@kernel
def _pairs_strongest_first(contacts, affinities, index, small, low):
    """Pairs of basins (uint32 (n, 2)), one of them small, for pairs of their voxels in the strict order.

    A counting sort: within an affinity the order is that in which they are listed, which is that of the index. Of neighbouring
    contacts of the same two, those that cannot be the strongest are left out. No branch depends on a contact: half of them
    would be foretold wrong, which takes twice the time.
    """
    ends = np.zeros(FULL_SCALE + 2, np.int64)
    # One more than there are, for what is written before it is known to be kept.
    kept = np.empty(len(contacts) + 1, np.uint32)
    n = 0
    recent, recent_best = np.zeros(3, np.uint64), np.zeros(3, np.int64)
    for k in range(len(contacts)):
        affinity = np.int64(affinities[k])
        label, other = contacts[k, 0], contacts[k, 1]
        pair = np.uint64(label) << np.uint64(32) | np.uint64(other)
        axis = index[k] % np.uint32(3)
        best = recent_best[axis] if pair == recent[axis] else np.int64(-1)
        keep = np.int64((affinity >= low) & (small[label] | small[other]) & (affinity > best))
        recent[axis], recent_best[axis] = pair, max(affinity, best)
        kept[n] = k
        n += keep
        # The bin after its own, so that adding up gives where each begins.
        ends[FULL_SCALE - affinity + 1] += keep
    for k in range(1, FULL_SCALE + 2):
        ends[k] += ends[k - 1]
    pairs = np.empty((n, 2), np.uint32)
    for j in range(n):
        k = kept[j]
        place = FULL_SCALE - np.int64(affinities[k])
        row = ends[place]
        pairs[row, 0], pairs[row, 1] = contacts[k, 0], contacts[k, 1]
        ends[place] = row + 1
    return pairs


@kernel
def _joined_by_voxels(pairs, voxels, is_open, smaller_than):
    """As :func:`_joined`, over pairs of voxels. A weaker pair of the same two decides nothing that a stronger has not."""
    parents = np.arange(len(voxels))
    for k in range(len(pairs)):
        one, other = find(parents, pairs[k, 0]), find(parents, pairs[k, 1])
        _join(parents, voxels, is_open, one, other, smaller_than)
    for i in range(len(parents)):
        parents[i] = parents[parents[i]]
    return parents


@inlined
def _join(parents, voxels, is_open, i, j, smaller_than):
    if i != j:
        small_i, small_j = voxels[i] < smaller_than, voxels[j] < smaller_than
        if (is_open[i] and small_i) or (is_open[j] and small_j):
            is_open[i] |= small_i
            is_open[j] |= small_j
        elif small_i or small_j:
            first, second = min(i, j), max(i, j)
            parents[second] = first
            voxels[first] += voxels[second]
            is_open[first] |= is_open[second]


@kernel
def _joined(a, b, voxels, is_open, smaller_than):
    """For each fragment the first of those that it has become one with, over pairs given from the strongest down; which wait.

    A large fragment stays large and so is settled even where it is open: nothing that it meets later depends on its size. An
    open one that may be small is not, and so the small ones for which it comes first are not either.
    """
    parents = np.arange(len(voxels))
    for k in range(len(a)):
        _join(parents, voxels, is_open, find(parents, a[k]), find(parents, b[k]), smaller_than)
    waits = np.zeros(len(parents), np.bool_)
    for i in range(len(parents)):
        parents[i] = parents[parents[i]]
        waits[i] = parents[i] == i and is_open[i] and voxels[i] < smaller_than
    return parents, waits
