"""Which edge joins two objects: a hash table whose entries are eight bytes an edge.

Open addressing with linear probing (Knuth, The Art of Computer Programming 3, section 6.4). An entry holds the edge's number and
31 bits of its pair's hash: enough to pass over others without looking at their edges, and to know where an entry belongs.
"""

from __future__ import annotations

import numpy as np

from axonloom.kernel import inlined, kernel
from axonloom.segmentation.edge_queue import ENDS

FREE = -1
HASH_BITS = 31
MOST_EDGES = 2**30


@inlined
def pair_of(u, v):
    """Two numbers below 2**31 as one, in whatever order they come."""
    return u << 32 | v if u < v else v << 32 | u


@inlined
def ends_of(pair):
    """The two numbers, the smaller first."""
    return pair >> 32, pair & 0xFFFFFFFF


@inlined
def _hash(pair):
    """31 bits (Fibonacci hashing, Knuth)."""
    return np.int64((np.uint64(pair) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - HASH_BITS))


@inlined
def entry(pair, edge):
    return _hash(pair) << 32 | edge


@inlined
def edge_in(found):
    return found & 0xFFFFFFFF


@kernel
def free_slots(edges):
    """A table for so many edges, at most two thirds of it used (int64)."""
    size = np.int64(16)
    while 2 * size < 3 * edges:
        size *= 2
    return np.full(size, FREE, np.int64)


@inlined
def _home(hashed, size):
    """The first slot of a hash: its leading bits, for sizes are powers of two."""
    return hashed * size >> HASH_BITS


@kernel
def slot_of(slots, rows, pair):
    """Where a pair stands in the table, or the free slot where it would."""
    hashed = _hash(pair)
    slot = _home(hashed, len(slots))
    while True:
        found = slots[slot]
        if found == FREE or (found >> 32 == hashed and rows[edge_in(found), ENDS] == pair):
            return slot
        slot = (slot + 1) & (len(slots) - 1)


@kernel
def remove(slots, rows, pair) -> None:
    """Take a pair out of the table, closing the gap so that no search ends too early (Knuth, algorithm 6.4R)."""
    last = len(slots) - 1
    gap = slot_of(slots, rows, pair)
    slot = gap
    while True:
        slot = (slot + 1) & last
        found = slots[slot]
        if found == FREE:
            break
        if (slot - _home(found >> 32, len(slots))) & last >= (slot - gap) & last:
            slots[gap] = found
            gap = slot
    slots[gap] = FREE
