"""Specks into their strongest neighbours, before any score for merging is taken.

A watershed of real affinities leaves most fragments as specks in membranes. They carry five edges each, and a greedy
agglomeration that starts among them is led by noise. Here pairs of voxels in contact are gone through from the strongest
down, and two fragments become one when either is still small: Kruskal's algorithm (1956) with a size rule, as in the
watershed of Zlateski and Seung (2015, arXiv:1505.00249).

The order is that of the watershed itself, affinity down and then global edge index up. It is strict, and no merging changes
it, so the result is a function of the volume alone. It also lets a block settle most of it before anything is written. What
touches a face is open: it may go on outside, so that a block knows only the least that it can have. A small fragment that is not
open joins at its strongest contact, whatever the other one is. Where that one is open, its size a moment before matters to
contacts that others know, so it is kept when it grew, and by how much. Only contacts of open ones that may be small are left
undecided.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from axonloom.assembly.edge_table import INDEX_BITS
from axonloom.assembly.growth_table import GrowthTable
from axonloom.assembly.id_map import positions
from axonloom.assembly.region_graph import RegionGraph
from axonloom.assembly.thresholds import FULL_SCALE
from axonloom.assembly.union_find import find
from axonloom.geometry import Box, Zyx
from axonloom.kernel import kernel
from axonloom.segmentation.contacts import Contacts, global_indices


def absorb(graph: RegionGraph, smaller_than: int, low: int, growth: GrowthTable | None = None) -> RegionGraph:
    """The region graph in which small fragments have joined their strongest neighbours.

    Parameters
    ----------
    graph : RegionGraph
        Of the whole volume.
    smaller_than : int
        Fragments of fewer voxels join; 0 and 1: none do.
    low : int
        Affinity (0..255) below which no pair of voxels joins two fragments.
    growth : GrowthTable, optional
        What the blocks have absorbed into fragments that they did not know whole, by the ids that they wrote.

    Returns
    -------
    RegionGraph
        A fragment's id is still the smallest of those that it is made of, and its statistics are their sums.
    """
    ends = graph.ends()
    voxels, is_open = graph.fragments.voxels.astype(np.int64), np.zeros(len(graph.fragments), np.bool_)
    growth = GrowthTable.empty() if growth is None else growth
    nodes = positions(graph.fragments.ids, graph.canonical.lookup(growth.ids), "the graph")
    growth = GrowthTable(nodes.view(np.uint64), growth.since, growth.voxels)
    first = join_small(*ends, graph.edges.best, voxels, is_open, smaller_than, low, growth).first
    return graph.contracted(first, ends) if (first != np.arange(len(first))).any() else graph


@dataclass(frozen=True)
class Absorbed:
    """What absorption has made of n fragments of a part.

    Attributes
    ----------
    first : int64 (n,)
        For each fragment the first of those that are now one with it.
    undecided : bool (n,)
        Of these first ones, those that may still become one with another of them.
    growth : GrowthTable
        Of these first ones by number, those that are open: what they had not from the start, for as long as they may be small.
    """

    first: np.ndarray
    undecided: np.ndarray
    growth: GrowthTable


def join_small(
    a: np.ndarray,
    b: np.ndarray,
    best: np.ndarray,
    voxels: np.ndarray,
    is_open: np.ndarray,
    smaller_than: int,
    low: int,
    growth: GrowthTable,
) -> Absorbed:
    """As much of :func:`absorb` as the rest of the volume cannot change, for a part of it.

    Absorbing the joined graphs of all parts then gives what absorbing the whole gives.

    Parameters
    ----------
    a, b : uint32
        Which two of the part's n fragments each edge joins. A pair may have several edges.
    best : uint64
        As in an :class:`~axonloom.assembly.edge_table.EdgeTable`.
    voxels : int64 (n,)
        Those of each fragment; brought up to date.
    is_open : bool (n,)
        Fragments that go on outside the part, so that their voxels and contacts are not all known; brought up to date.
    smaller_than, low
        Those of :func:`absorb`.
    growth : GrowthTable
        By number, what fragments had not from the start.
    """
    grown, late = growth.ids.view(np.int64), growth.voxels.view(np.int64)
    np.subtract.at(voxels, grown, late)
    pairs, strength = _able(a, b, best, voxels < smaller_than, low)
    order = np.argsort(strength)
    # A pair taken as one number moves four times as fast.
    pairs, strength = pairs.view(np.uint64)[order].view(np.uint32), strength[order]
    in_time = np.argsort(growth.since)
    since = growth.since[in_time]
    first, undecided, node, moment, more = _joined(
        pairs, voxels, is_open, smaller_than, np.searchsorted(strength, since), grown[in_time], late[in_time]
    )
    when = np.empty(len(node), np.uint64)
    by_contact = moment >= 0
    when[by_contact] = strength[moment[by_contact]]
    when[~by_contact] = since[-1 - moment[~by_contact]]
    return Absorbed(first, undecided, GrowthTable(node.view(np.uint64), when, more.view(np.uint64)))


def absorb_basins(
    contacts: Contacts,
    voxels: np.ndarray,
    is_open: np.ndarray,
    smaller_than: int,
    low: int,
    core: Box,
    volume_shape: Zyx,
) -> Absorbed:
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
        Basins that go on outside the core; brought up to date.
    smaller_than, low
        Those of :func:`absorb`.
    core : Box
        In voxels of the volume.
    volume_shape : (z, y, x)
        Voxels of the stored volume.
    """
    pairs, contact = _pairs_strongest_first(
        contacts.pairs, contacts.affinity, contacts.index, voxels < smaller_than, low
    )
    nothing = np.zeros(0, np.int64)
    first, undecided, node, moment, more = _joined(
        pairs, voxels.astype(np.int64), is_open, smaller_than, nothing, nothing, nothing
    )
    contact = contact[moment]
    weakness = (FULL_SCALE - contacts.affinity[contact]).astype(np.uint64)
    when = weakness << np.uint64(INDEX_BITS) | global_indices(contacts.index[contact], core, volume_shape)
    return Absorbed(first, undecided, GrowthTable(node.view(np.uint64), when, more.view(np.uint64)))


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
    """Pairs of basins (uint32 (n, 2)), one of them small, for pairs of their voxels in the strict order, and which contacts
    (uint32 (n,)) these are.

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
    pairs, which = np.empty((n, 2), np.uint32), np.empty(n, np.uint32)
    for j in range(n):
        k = kept[j]
        place = FULL_SCALE - np.int64(affinities[k])
        row = ends[place]
        pairs[row, 0], pairs[row, 1] = contacts[k, 0], contacts[k, 1]
        which[row] = k
        ends[place] = row + 1
    return pairs, which


@kernel
def _able(a, b, best, small, low):
    """Of edges those that may join two fragments: the fragments (uint32 (n, 2)), and the best contact (uint64 (n,)).

    No branch depends on an edge, as in :func:`_pairs_strongest_first`.
    """
    kept = np.empty(len(best) + 1, np.uint32)
    n = 0
    for e in range(len(best)):
        kept[n] = e
        n += np.int64((FULL_SCALE - np.int64(best[e] >> np.uint64(INDEX_BITS)) >= low) & (small[a[e]] | small[b[e]]))
    pairs, strength = np.empty((n, 2), np.uint32), np.empty(n, np.uint64)
    for j in range(n):
        e = kept[j]
        pairs[j, 0], pairs[j, 1] = a[e], b[e]
        strength[j] = best[e]
    return pairs, strength


@kernel
def _joined(pairs, voxels, is_open, smaller_than, due, grown, growth):
    """Go through pairs of fragments from the strongest contact down. ``growth[i]`` more voxels come to fragment ``grown[i]`` before
    pair ``due[i]`` (ascending); ``voxels`` are those from the start, and all of them in the end. A weaker pair of the same two
    decides nothing that a stronger one has not.

    What is small and not open joins. Two large ones never do; a fragment that was found to be large stays it, also where it is open.
    Of any others nobody knows, so both are undecided.

    Returns the first of what each is one with, who is undecided, and growth of open ones that may have been small: the first of
    what grew, at which pair (or -1 - i, with the i-th of ``grown``), by how much.
    """
    n = len(voxels)
    # Half the bytes, which fit better into the cache: half the time.
    parents = np.arange(n).astype(np.uint32)
    undecided = np.zeros(n, np.bool_)
    # In which row of its growth one was found to be large. What comes later is added there: nobody asks when.
    crossing = np.full(n, -1, np.int64)
    # Room for all joins and all that was grown: of what is not written to, no memory is taken.
    most = n + len(due)
    node, moment, more = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    rows = 0
    start = 0
    for event in range(len(due) + 1):
        stop = due[event] if event < len(due) else len(pairs)
        for k in range(start, stop):
            i, j = find(parents, pairs[k, 0]), find(parents, pairs[k, 1])
            if i == j:
                continue
            small_i, small_j = voxels[i] < smaller_than, voxels[j] < smaller_than
            if not (small_i or small_j):
                continue
            if not ((small_i and not is_open[i]) or (small_j and not is_open[j])):
                undecided[i] = undecided[j] = True
                continue
            # The second comes to the first; where one of them is open, that is the first.
            i, j = (j, i) if is_open[j] else (i, j)
            first, second = min(i, j), max(i, j)
            parents[second] = first
            if is_open[i]:
                rows = _grow(i, k, voxels[j], voxels, smaller_than, crossing, node, moment, more, rows)
                is_open[first] = True
                crossing[first] = crossing[i]
                voxels[first] = voxels[i]
            else:
                voxels[first] += voxels[second]
        start = stop
        if event < len(due):
            i = find(parents, grown[event])
            if is_open[i]:
                rows = _grow(i, -1 - event, growth[event], voxels, smaller_than, crossing, node, moment, more, rows)
            else:
                voxels[i] += growth[event]
    for i in range(n):
        parents[i] = parents[parents[i]]
        undecided[parents[i]] |= undecided[i]
    for row in range(rows):
        node[row] = parents[node[row]]
    return parents.astype(np.int64), undecided, node[:rows].copy(), moment[:rows].copy(), more[:rows].copy()


@kernel
def _grow(i, when, comes, voxels, smaller_than, crossing, node, moment, more, rows):
    """So many more voxels come to i, which is open; returns how many rows of growth there are now."""
    if voxels[i] < smaller_than:
        node[rows], moment[rows], more[rows] = i, when, comes
        if voxels[i] + comes >= smaller_than:
            crossing[i] = rows
        rows += 1
    elif crossing[i] >= 0:
        more[crossing[i]] += comes
    voxels[i] += comes
    return rows
