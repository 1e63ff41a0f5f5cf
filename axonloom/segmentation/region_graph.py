"""The contacts between the fragments of one block, counted in one pass over their list."""

from __future__ import annotations

import numpy as np

from axonloom.assembly.affinity_bins import BIN_BITS, BINS
from axonloom.assembly.edge_table import INDEX_BITS, EdgeTable
from axonloom.assembly.thresholds import FULL_SCALE
from axonloom.geometry import Box, Zyx
from axonloom.kernel import inlined, kernel
from axonloom.segmentation.contacts import Contacts

LAST = (1 << 32) - 1
BUCKET = 6
"""Rows kept for each fragment; measured on real shapes (24 voxels a fragment): 4, 6 and 8 take 46, 49, 51 Mvox/s."""


def interior_edges(
    contacts: Contacts,
    number_of: np.ndarray,
    ids: np.ndarray,
    core: Box,
    volume_shape: Zyx,
    *,
    histograms: bool = False,
) -> EdgeTable:
    """Edges between fragments that touch within a block's core.

    Parameters
    ----------
    contacts : Contacts
        Of some labels in the core.
    number_of : uint32
        The number of the fragment that each label is part of: 1..n without gaps in the order of their ids; 0 is background.
    ids : uint64 (n + 1,)
        Their ids, ascending; ``ids[0]`` is 0.
    core : Box
        In voxels of the volume.
    volume_shape : (z, y, x)
        Voxels of the stored volume.
    histograms : bool
        Whether to count the affinities of each edge in bins too: a second pass, and 128 bytes an edge.

    Returns
    -------
    EdgeTable
        Aggregated and sorted by (a, b); voxel pairs that cross the core's faces are not in it.
    """
    listed = contacts.pairs, contacts.affinity, contacts.index, number_of
    buckets, overflow = _count_contacts(*listed, len(ids))
    ends, statistics = _sorted_edges(
        buckets, overflow, len(ids), np.array(core.shape), np.array(core.origin), np.array(volume_shape, np.int64)
    )
    counted = np.zeros((len(ends), BINS if histograms else 0), np.uint32)
    if histograms:
        _count_in_bins(*listed, np.searchsorted(ends[:, 0], np.arange(len(ids) + 1)), ends, counted)
    return EdgeTable(ids[ends[:, 0]], ids[ends[:, 1]], *statistics.astype(np.uint64).T.copy(), histogram=counted)


@inlined
def _home(pair, bits):
    """First slot of a pair in a table of 2**bits slots (Fibonacci hashing, Knuth)."""
    return np.int64((np.uint64(pair) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits))


@kernel
def _slot_of(table, pair, bits):
    """Where a pair stands in a table of 2**bits rows, or the free row where it would."""
    slot = _home(pair, bits)
    while table[slot, 0] != pair and table[slot, 0] != 0:
        slot = (slot + 1) & (table.shape[0] - 1)
    return slot


@kernel
def _grown(table, bits):
    """The same rows in a table of 2**bits."""
    larger = np.zeros((1 << bits, 4), np.int64)
    for i in range(table.shape[0]):
        if table[i, 0] != 0:
            larger[_slot_of(larger, table[i, 0], bits)] = table[i]
    return larger


@kernel
def _count_contacts(contacts, affinities, indices, number_of, n_ids):
    """Rows (b << 32 | a, sum, last << 32 | count, affinity << 32 | LAST - first) with a < b in two tables; 0 marks a free row.

    ``last`` is the largest index within the block (3 x raster number of the voxel, plus channel) of the pairs, ``first`` the
    smallest of those of the highest affinity. Packed so, a row is half a cache line, and all of it adds up without a branch.

    Most fragments have few neighbours of a lower number (large ones tend to start early, and so to be the lower): those lie
    in a bucket of BUCKET rows a fragment, and fragments that are near in space have near numbers, so the buckets in use stay
    in the cache. The other contacts go to an open-address table.
    """
    buckets = np.zeros((n_ids * BUCKET, 4), np.int64)
    bits = 8
    overflow = np.zeros((1 << bits, 4), np.int64)
    room = 1 << (bits - 1)
    recent_pair = np.zeros(3, np.int64)
    recent_slot = np.zeros(3, np.int64)
    for k in range(len(contacts)):
        label, other = np.int64(number_of[contacts[k, 0]]), np.int64(number_of[contacts[k, 1]])
        if label == other:
            continue
        index = np.int64(indices[k])
        axis = index % 3
        b = max(label, other)
        pair = b << 32 | min(label, other)
        if pair == recent_pair[axis]:
            slot = recent_slot[axis]
        else:
            slot = b * BUCKET
            end = slot + BUCKET
            while slot < end and buckets[slot, 0] != pair and buckets[slot, 0] != 0:
                slot += 1
            if slot == end:
                if room == 0:
                    bits += 1
                    overflow = _grown(overflow, bits)
                    room = 1 << (bits - 2)
                    recent_pair[:] = 0
                slot = _slot_of(overflow, pair, bits)
                if overflow[slot, 0] == 0:
                    overflow[slot, 0] = pair
                    room -= 1
                slot = -1 - slot
            else:
                buckets[slot, 0] = pair
            recent_pair[axis] = pair
            recent_slot[axis] = slot
        affinity = np.int64(affinities[k])
        strength = affinity << 32 | (LAST - index)
        # Written out twice: an array handed to another function is counted as one more reference each time.
        if slot >= 0:
            buckets[slot, 1] += affinity
            buckets[slot, 2] = index << 32 | ((buckets[slot, 2] & LAST) + 1)
            buckets[slot, 3] = max(buckets[slot, 3], strength)
        else:
            slot = -1 - slot
            overflow[slot, 1] += affinity
            overflow[slot, 2] = index << 32 | ((overflow[slot, 2] & LAST) + 1)
            overflow[slot, 3] = max(overflow[slot, 3], strength)
    return buckets, overflow


@kernel
def _count_in_bins(contacts, affinities, indices, number_of, start, ends, counted) -> None:
    """Add each contact to the histogram of its edge; those of object a are the rows start[a] to start[a + 1], ascending by b."""
    recent = np.zeros((3, 3), np.int64)
    for k in range(len(contacts)):
        label, other = np.int64(number_of[contacts[k, 0]]), np.int64(number_of[contacts[k, 1]])
        if label == other:
            continue
        axis = np.int64(indices[k]) % 3
        a, b = min(label, other), max(label, other)
        if recent[axis, 0] != a or recent[axis, 1] != b:
            first, end = start[a], start[a + 1]
            while first < end:
                middle = (first + end) >> 1
                if ends[middle, 1] < b:
                    first = middle + 1
                else:
                    end = middle
            recent[axis] = a, b, first
        counted[recent[axis, 2], affinities[k] >> BIN_BITS] += np.uint32(1)


@kernel
def _sorted_edges(buckets, overflow, n_ids, shape, origin, volume_shape):
    """All rows by (a, b), as edge tables hold them: taken in the order of b, and dealt out stably to their a (a counting sort)."""
    used = np.flatnonzero(overflow[:, 0])
    used = used[np.argsort(overflow[:, 0][used])]
    place = np.zeros(n_ids + 1, np.int64)
    for row in used:
        place[(overflow[row, 0] & 0xFFFFFFFF) + 1] += 1
    for row in range(buckets.shape[0]):
        if buckets[row, 0] != 0:
            place[(buckets[row, 0] & 0xFFFFFFFF) + 1] += 1
    for a in range(n_ids):
        place[a + 1] += place[a]
    n = place[n_ids]
    ends = np.empty((n, 2), np.int64)
    statistics = np.empty((n, 4), np.int64)
    spilled = 0
    for b in range(n_ids):
        for row in range(b * BUCKET, (b + 1) * BUCKET):
            if buckets[row, 0] == 0:
                break
            _deal(buckets[row], place, ends, statistics)
        while spilled < len(used) and overflow[used[spilled], 0] >> 32 == b:
            _deal(overflow[used[spilled]], place, ends, statistics)
            spilled += 1
    _, height, width = shape
    z, y, x = origin
    _, volume_height, volume_width = volume_shape
    for k in range(n):
        last, strength = statistics[k, 2], statistics[k, 3]
        first = _global_index(LAST - (strength & LAST), height, width, z, y, x, volume_height, volume_width)
        statistics[k, 1] = last & LAST
        statistics[k, 2] = _global_index(last >> 32, height, width, z, y, x, volume_height, volume_width)
        statistics[k, 3] = (FULL_SCALE - (strength >> 32)) << INDEX_BITS | first
    return ends, statistics


@inlined
def _deal(row, place, ends, statistics):
    a = row[0] & 0xFFFFFFFF
    k = place[a]
    place[a] += 1
    ends[k, 0], ends[k, 1] = a, row[0] >> 32
    statistics[k, 0], statistics[k, 2], statistics[k, 3] = row[1], row[2], row[3]


@inlined
def _global_index(index, height, width, z, y, x, volume_height, volume_width):
    """The global index of an edge that has ``index`` within a block of this size that starts at (z, y, x)."""
    voxel = index // 3
    x += voxel % width
    y += voxel // width % height
    z += voxel // (width * height)
    return 3 * ((z * volume_height + y) * volume_width + x) + index % 3
