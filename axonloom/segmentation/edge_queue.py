"""Which edge is the best of those that are left: edges in rows, the order of all of them, and a heap of those that change.

Scores are compared as fractions, ties by key, so that the order is strict and exact.
"""

from __future__ import annotations

import numpy as np

from axonloom.assembly.exact_fractions import EXACT_BITS, compare, leading_bits
from axonloom.kernel import inlined, kernel

# One row of four int64 an edge, half a cache line. SUM / COUNT is its score; with quantiles these are a numerator and a
# denominator. ENDS is its pair of objects, or GONE.
SUM, COUNT, KEY, ENDS = range(4)
GONE = -1


def order_of(edges: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some edges (uint32) by falling score, and by key where scores are equal."""
    falling = _falling_scores(rows, edges)
    order = np.argsort(falling)
    falling = falling[order]
    edges = edges[order]
    del order
    _settle_ties(edges, falling, rows)
    return edges


@kernel
def _falling_scores(rows, edges):
    """The leading bits of each edge's score, negative (int64)."""
    scores = np.empty(len(edges), np.int64)
    for i in range(len(edges)):
        scores[i] = -leading_bits(rows[edges[i], SUM], rows[edges[i], COUNT])
    return scores


@inlined
def is_before(bits, total, count, key, other_bits, other_total, other_count, other_key):
    """Whether an edge stands before another one in the queue: score down, key up."""
    if bits != other_bits:
        return bits > other_bits
    if np.float64(count) * np.float64(other_count) >= np.float64(1 << EXACT_BITS):
        sign = compare(total, count, other_total, other_count)
        if sign != 0:
            return sign > 0
    return key < other_key


@kernel
def _settle_ties(order, falling, rows) -> None:
    """Put edges of equal leading bits in their order: by key, and before that by the rest of their scores, which can only
    differ among more than 2**27 contacts. ``falling[i]`` are the leading bits of edge ``order[i]``.
    """
    start = 0
    for stop in range(1, len(order) + 1):
        if stop < len(order) and falling[stop] == falling[start]:
            continue
        if stop - start > 1:
            keys = np.empty(stop - start, np.int64)
            large = False
            for i in range(start, stop):
                keys[i - start] = rows[order[i], KEY]
                large |= rows[order[i], COUNT] >= 1 << EXACT_BITS // 2
            order[start:stop] = order[start:stop][np.argsort(keys)]
            if large:
                _sort_exactly(order, start, stop, rows)
        start = stop


@kernel
def _sort_exactly(order, start, stop, rows) -> None:
    for i in range(start + 1, stop):
        e = order[i]
        j = i - 1
        while j >= start and compare(rows[e, SUM], rows[e, COUNT], rows[order[j], SUM], rows[order[j], COUNT]) > 0:
            order[j + 1] = order[j]
            j -= 1
        order[j + 1] = e


# The heap holds edges as they were when they came into it: five int64 a row, the last one the edge.
BITS, WAS_SUM, WAS_COUNT, WAS_KEY, EDGE = range(5)


@kernel
def _heap_is_before(heap, i, j):
    return is_before(
        heap[i, BITS], heap[i, WAS_SUM], heap[i, WAS_COUNT], heap[i, WAS_KEY],
        heap[j, BITS], heap[j, WAS_SUM], heap[j, WAS_COUNT], heap[j, WAS_KEY],
    )  # fmt: skip


@kernel
def place(heap, i, rows, e) -> None:
    """Put an edge, as it is now, into a row of the heap; :func:`rise` or :func:`sink` brings the heap in order."""
    heap[i, BITS] = leading_bits(rows[e, SUM], rows[e, COUNT])
    heap[i, WAS_SUM], heap[i, WAS_COUNT], heap[i, WAS_KEY] = rows[e, SUM], rows[e, COUNT], rows[e, KEY]
    heap[i, EDGE] = e


@kernel
def swap(heap, i, j) -> None:
    for k in range(5):
        heap[i, k], heap[j, k] = heap[j, k], heap[i, k]


@kernel
def rise(heap, i) -> None:
    """Bring the heap in order again after a row was added as its last."""
    while i > 0:
        up = (i - 1) >> 1
        if not _heap_is_before(heap, i, up):
            break
        swap(heap, i, up)
        i = up


@kernel
def sink(heap, size) -> None:
    """Bring the heap in order again after its top has changed."""
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and _heap_is_before(heap, child + 1, child):
            child += 1
        if not _heap_is_before(heap, child, i):
            break
        swap(heap, i, child)
        i = child


@inlined
def is_better(total, count, key, other_total, other_count, other_key):
    """Whether an edge comes before another one by what they are now."""
    if max(total, count, other_total, other_count) < 1 << 31:
        mine, others = total * other_count, other_total * count
        return mine > others or (mine == others and key < other_key)
    sign = compare(total, count, other_total, other_count)
    return sign > 0 or (sign == 0 and key < other_key)
