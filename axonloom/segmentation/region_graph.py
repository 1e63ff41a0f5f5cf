"""The contacts between the fragments of one block, counted in one pass over its voxels."""

from __future__ import annotations

import numpy as np
from numba import njit

from axonloom.assembly.edge_table import EdgeTable
from axonloom.geometry import Box, Zyx


def interior_edges(
    compact: np.ndarray, ids: np.ndarray, affinities: np.ndarray, read: Box, core: Box, volume_shape: Zyx
) -> EdgeTable:
    """Edges between fragments that touch within a block's core.

    Parameters
    ----------
    compact : uint32 (z, y, x)
        The core's fragments, numbered 1..n without gaps in the order of their ids; 0 is background.
    ids : uint64 (n + 1,)
        Their ids, ascending; ``ids[0]`` is 0.
    affinities : uint8 (3, z, y, x)
        Raw affinities of the voxels of ``read``.
    read, core : Box
        In voxels of the volume.
    volume_shape : (z, y, x)
        Voxels of the stored volume.

    Returns
    -------
    EdgeTable
        Aggregated and sorted by (a, b); voxel pairs that cross the core's faces are not in it.
    """
    origin = np.array(core.origin, np.int64)
    lead = origin - np.array(read.origin, np.int64)
    table = _count_contacts(
        np.ascontiguousarray(compact),
        np.ascontiguousarray(affinities),
        lead,
        origin,
        np.array(volume_shape, np.int64),
        len(ids),
    )
    a, b, total, count, key = _sorted_edges(table, len(ids))
    return EdgeTable(ids[a], ids[b], total, count, key)


@njit(nogil=True, cache=True, inline="always")
def _home(pair, bits):
    """First slot of a pair in a table of 2**bits slots (Fibonacci hashing, Knuth)."""
    return np.int64((np.uint64(pair) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits))


@njit(nogil=True, cache=True)
def _grown(table, bits):
    """The table's rows in a table of 2**bits slots."""
    larger = np.zeros((np.int64(1) << bits, 4), np.int64)
    last = larger.shape[0] - 1
    for i in range(table.shape[0]):
        pair = table[i, 0]
        if pair != 0:
            slot = _home(pair, bits)
            while larger[slot, 0] != 0:
                slot = (slot + 1) & last
            for k in range(4):
                larger[slot, k] = table[i, k]
    return larger


@njit(nogil=True, cache=True)
def _count_contacts(compact, affinities, lead, origin, volume_shape, n_ids):
    """An open-address table of rows (a << 32 | b, sum, count, key); 0 marks a free slot.

    Edges come in ascending order of their global index, so the last one written is the largest.
    """
    depth, height, width = compact.shape
    bits = 6
    while (np.int64(1) << bits) < 8 * n_ids:
        bits += 1
    table = np.zeros((np.int64(1) << bits, 4), np.int64)
    last = table.shape[0] - 1
    room = table.shape[0] // 2
    recent_pair = np.zeros(3, np.int64)
    recent_slot = np.zeros(3, np.int64)
    dz, dy, dx = lead
    for z in range(depth):
        for y in range(height):
            here = compact[z, y]
            base = 3 * (((z + origin[0]) * volume_shape[1] + y + origin[1]) * volume_shape[2] + origin[2])
            for x in range(width):
                label = np.int64(here[x])
                if label == 0:
                    continue
                for c in range(3):
                    if c == 0:
                        if z == 0:
                            continue
                        other = np.int64(compact[z - 1, y, x])
                    elif c == 1:
                        if y == 0:
                            continue
                        other = np.int64(compact[z, y - 1, x])
                    else:
                        if x == 0:
                            continue
                        other = np.int64(here[x - 1])
                    if other == 0 or other == label:
                        continue
                    if other < label:
                        pair = other << 32 | label
                    else:
                        pair = label << 32 | other
                    if pair == recent_pair[c]:
                        slot = recent_slot[c]
                    else:
                        slot = _home(pair, bits)
                        while table[slot, 0] != pair and table[slot, 0] != 0:
                            slot = (slot + 1) & last
                        if table[slot, 0] == 0:
                            if room == 0:
                                bits += 1
                                table = _grown(table, bits)
                                last = table.shape[0] - 1
                                room = table.shape[0] // 4
                                recent_pair[:] = 0
                                slot = _home(pair, bits)
                                while table[slot, 0] != 0:
                                    slot = (slot + 1) & last
                            table[slot, 0] = pair
                            room -= 1
                        recent_pair[c] = pair
                        recent_slot[c] = slot
                    table[slot, 1] += np.int64(affinities[c, z + dz, y + dy, x + dx])
                    table[slot, 2] += 1
                    table[slot, 3] = base + 3 * x + c
    return table


@njit(nogil=True, cache=True)
def _sorted_edges(table, n_ids):
    """The table's rows by (a, b): a counting sort on a, then an insertion sort of each node's few neighbours."""
    low = np.int64(0xFFFFFFFF)
    starts = np.zeros(n_ids + 1, np.int64)
    n = 0
    for i in range(table.shape[0]):
        if table[i, 0] != 0:
            starts[(table[i, 0] >> 32) + 1] += 1
            n += 1
    for i in range(n_ids):
        starts[i + 1] += starts[i]
    fill = starts[:-1].copy()
    rows = np.empty(n, np.int64)
    for i in range(table.shape[0]):
        if table[i, 0] != 0:
            node = table[i, 0] >> 32
            rows[fill[node]] = i
            fill[node] += 1
    for node in range(n_ids):
        first, end = starts[node], starts[node + 1]
        if end - first > 64:
            some = rows[first:end]
            pairs = np.empty(end - first, np.int64)
            for k in range(end - first):
                pairs[k] = table[some[k], 0]
            rows[first:end] = some[np.argsort(pairs)]
        else:
            for k in range(first + 1, end):
                row = rows[k]
                pair = table[row, 0]
                j = k - 1
                while j >= first and table[rows[j], 0] > pair:
                    rows[j + 1] = rows[j]
                    j -= 1
                rows[j + 1] = row
    a, b = np.empty(n, np.int64), np.empty(n, np.int64)
    total, count, key = np.empty(n, np.uint64), np.empty(n, np.uint64), np.empty(n, np.uint64)
    for k in range(n):
        row = table[rows[k]]
        a[k], b[k] = row[0] >> 32, row[0] & low
        total[k], count[k], key[k] = np.uint64(row[1]), np.uint64(row[2]), np.uint64(row[3])
    return a, b, total, count, key
