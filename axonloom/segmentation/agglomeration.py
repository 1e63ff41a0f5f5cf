"""Agglomeration of a region graph, or of a part of one, by the mean affinity or a quantile of it; exact to the last tie.

The best edge is merged again and again, down to a threshold: greedy in the strict order (score down, key up), scores compared
as fractions. Both scores are reducible (Bruynooghe 1978): merging never raises the best score to a third object. So
scores only fall along the record, an edge that has changed since it was queued can wait in its old place until it comes up,
and the result is a function of the graph alone. Method as in waterz (Funke et al. 2019) and abiss (Lu et al. 2021), with
ties resolved.
"""

from __future__ import annotations

import numpy as np

from axonloom.assembly.affinity_bins import quantile
from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.exact_fractions import EXACT_BITS, compare, leading_bits
from axonloom.assembly.id_map import distinct, positions
from axonloom.assembly.thresholds import FULL_SCALE, Threshold, threshold_fraction
from axonloom.kernel import inlined, kernel

LARGEST_SUM = 2**62


def agglomerate(edges: EdgeTable, lowest: Threshold = "0", percent: int | None = None) -> Dendrogram:
    """Merge the objects of a region graph, best score first.

    Takes up to about 200 bytes of memory an edge, and 1 to 2 CPU seconds per million edges.

    Parameters
    ----------
    edges : EdgeTable
        The aggregated graph (one row a pair).
    lowest : decimal of 0..1
        Merges below this score are not made. The lower, the longer it takes; any threshold from here up can be
        taken from the result.
    percent : int, optional
        The score is the affinity that so many percent (1..99) of the contacts do not exceed; without it, their mean.

    Returns
    -------
    Dendrogram

    Raises
    ------
    ThresholdError
        ``lowest`` is not a number of 0..1.
    ValueError
        A pair occurs twice, or the affinities add up to 2**62 and more.
    """
    ids = distinct(edges.a, edges.b)
    ends = positions(ids, edges.a, "the graph"), positions(ids, edges.b, "the graph")
    return agglomerate_part(ids, edges, ends, np.zeros(len(ids), np.bool_), lowest, percent)[0]


def agglomerate_part(
    ids: np.ndarray,
    edges: EdgeTable,
    ends: tuple[np.ndarray, np.ndarray],
    frozen: np.ndarray,
    lowest: Threshold,
    percent: int | None = None,
) -> tuple[Dendrogram, np.ndarray]:
    """As many of the merges of :func:`agglomerate` as the rest of the volume cannot change, for a part of it.

    An object that is not all known is frozen: it is not merged. An edge to it that would come up next is not decided either,
    and so its other end freezes too. Since scores only fall, all merges that are left out here come after those that are made
    of their objects: going on with the joined parts gives the merges of the whole (Lu et al. 2021).

    Parameters
    ----------
    ids : uint64 (n,)
        The objects of the part, ascending; not all need to have edges.
    edges : EdgeTable
        Its aggregated graph.
    ends : two of int64
        Which of the objects each edge joins.
    frozen : bool (n,)
        Objects whose contacts or own composition the rest of the volume may change.
    lowest, percent
        As in :func:`agglomerate`.

    Returns
    -------
    Dendrogram
        The merges that were made.
    frozen : bool (n,)
        What is frozen in the end, by the first of those that it is made of. All edges between two such objects are undecided.
        Others are done: none of their edges reaches ``lowest``, and none ever will.

    Raises
    ------
    ThresholdError, ValueError
        As :func:`agglomerate`.
    """
    exact = threshold_fraction(lowest)
    floor = exact * FULL_SCALE
    if floor.numerator >= LARGEST_SUM or floor.denominator >= LARGEST_SUM:
        raise ValueError(f"the threshold {lowest} has more digits than 64-bit fractions hold")
    if len(edges) >= 2**31 or float(edges.sum.sum(dtype=np.float64)) >= LARGEST_SUM:
        raise ValueError(f"a graph of {len(edges)} edges is too large for one agglomeration")
    if percent is not None and not edges.bins:
        raise ValueError("quantiles need edges with histograms")
    frozen = frozen.copy()
    a, b = ends
    # Between two that are frozen nothing will happen.
    live = ~(frozen[a] & frozen[b])
    if not live.all():
        edges, a, b = edges.taken(live), a[live], b[live]
    by_key = np.argsort(edges.key, kind="stable")
    total, count, key = (column[by_key].astype(np.int64) for column in (edges.sum, edges.count, edges.key))
    histograms = edges.histogram[by_key] if percent is not None else np.zeros((0, 0), np.uint32)
    if percent is not None:
        _quantiles(histograms, percent, total, count)
    scores = _scores(total, count)
    repeated, a, b, total, count, key = _merge_all(
        a[by_key],
        b[by_key],
        total,
        count,
        key,
        histograms,
        percent or 0,
        scores,
        np.argsort(-scores, kind="stable"),
        frozen,
        floor.numerator,
        floor.denominator,
    )
    if repeated:
        raise ValueError("a pair of objects occurs twice in the region graph: aggregate the edge table first")
    merges = Dendrogram(
        ids[a], ids[b], total.astype(np.uint64), count.astype(np.uint64), key.astype(np.uint64), lowest=exact
    )
    return merges, frozen


@kernel
def _quantiles(histograms, percent, total, count) -> None:
    for e in range(len(total)):
        total[e], count[e] = quantile(histograms[e], percent)


@kernel
def _scores(total, count):
    """The leading bits of each edge's score (int64)."""
    scores = np.empty(len(total), np.int64)
    for e in range(len(total)):
        scores[e] = leading_bits(total[e], count[e])
    return scores


# One row of eight int64 an edge, a cache line: what it is now, what it was when it was queued, and its two ends. SUM / COUNT is
# its score; with quantiles these are a numerator and a denominator.
SUM, COUNT, KEY, QUEUED_SUM, QUEUED_COUNT, QUEUED_KEY, QUEUED_BITS, ENDS = range(8)
DEAD = -1
LAST = 0xFFFFFFFF


@inlined
def _pair(u, v):
    return u << 32 | v if u < v else v << 32 | u


@inlined
def _home(pair, shift):
    """First slot of a pair (Fibonacci hashing, Knuth)."""
    return np.int64((np.uint64(pair) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(shift))


@kernel
def _slot_of(slots, pair, shift):
    """Where a pair stands in the table, or the free slot where it would."""
    last = slots.shape[0] - 1
    slot = _home(pair, shift)
    while slots[slot, 0] != pair and slots[slot, 0] != DEAD:
        slot = (slot + 1) & last
    return slot


@kernel
def _remove(slots, pair, shift) -> None:
    """Take a pair out of the table, closing the gap so that no search ends too early (Knuth, algorithm 6.4R)."""
    last = slots.shape[0] - 1
    gap = _slot_of(slots, pair, shift)
    slot = gap
    while True:
        slot = (slot + 1) & last
        if slots[slot, 0] == DEAD:
            break
        if (slot - _home(slots[slot, 0], shift)) & last >= (slot - gap) & last:
            slots[gap, 0], slots[gap, 1] = slots[slot, 0], slots[slot, 1]
            gap = slot
    slots[gap, 0] = DEAD


@kernel
def _queued_before(edges, e, f):
    """Whether edge e stands before f in the queue: score down, key up."""
    if edges[e, QUEUED_BITS] != edges[f, QUEUED_BITS]:
        return edges[e, QUEUED_BITS] > edges[f, QUEUED_BITS]
    if np.float64(edges[e, QUEUED_COUNT]) * np.float64(edges[f, QUEUED_COUNT]) >= np.float64(1 << EXACT_BITS):
        sign = compare(edges[e, QUEUED_SUM], edges[e, QUEUED_COUNT], edges[f, QUEUED_SUM], edges[f, QUEUED_COUNT])
        if sign != 0:
            return sign > 0
    return edges[e, QUEUED_KEY] < edges[f, QUEUED_KEY]


@kernel
def _queue(edges, e) -> None:
    """Give an edge the place in the queue that its present values deserve."""
    edges[e, QUEUED_SUM] = edges[e, SUM]
    edges[e, QUEUED_COUNT] = edges[e, COUNT]
    edges[e, QUEUED_KEY] = edges[e, KEY]
    edges[e, QUEUED_BITS] = leading_bits(edges[e, SUM], edges[e, COUNT])


@kernel
def _push(heap, size, edges, e) -> None:
    i = size
    while i > 0:
        up = (i - 1) >> 1
        if not _queued_before(edges, e, heap[up]):
            break
        heap[i] = heap[up]
        i = up
    heap[i] = e


@kernel
def _sift(heap, size, edges, e) -> None:
    """Put ``e`` in place of the heap's top, with ``size`` edges in it."""
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and _queued_before(edges, heap[child + 1], heap[child]):
            child += 1
        if not _queued_before(edges, heap[child], e):
            break
        heap[i] = heap[child]
        i = child
    heap[i] = e


@kernel
def _settle_order(order, edges) -> None:
    """Finish the queue's order of all edges, which a stable sort by score has left in ascending order of key within ties.

    Only scores of more than 2**27 contacts can still stand wrong among those whose leading bits are equal.
    """
    for i in range(1, len(order)):
        e = order[i]
        j = i - 1
        while j >= 0 and edges[order[j], QUEUED_BITS] == edges[e, QUEUED_BITS] and _queued_before(edges, e, order[j]):
            order[j + 1] = order[j]
            j -= 1
        order[j + 1] = e


@kernel
def _merge_all(a, b, total, count, key, histograms, percent, scores, order, frozen, floor_numerator, floor_denominator):
    """The greedy loop over edges given in ascending order of key; ``order`` sorts them stably by falling score.

    ``percent`` is 0 for means, which need no histograms; else these are added up in place.

    ``frozen`` says which nodes must not be merged; those that freeze on the way are added to it, under their smallest member.

    Edges wait in a sorted list; those that changed while they waited go to a heap when they come up. Each node has a linked
    list of its half-edges (2e and 2e + 1); of two merged nodes the one with the shorter list moves over to the other's. A
    table finds the edge of a pair. Returns whether a pair occurred twice, and the merges as rows of positions and integers.
    """
    n, n_nodes = len(a), len(frozen)
    edges = np.empty((n, 8), np.int64)
    bits = 4
    while (np.int64(1) << bits) < 2 * n:
        bits += 1
    shift = 64 - bits
    slots = np.full((np.int64(1) << bits, 2), DEAD, np.int64)
    heads = np.full(n_nodes, LAST, np.uint32)
    lengths = np.zeros(n_nodes, np.int64)
    following = np.empty(2 * n, np.uint32)
    smallest = np.arange(n_nodes)
    merged_a, merged_b = np.empty(n_nodes, np.int64), np.empty(n_nodes, np.int64)
    merged = np.empty((n_nodes, 3), np.int64)
    n_merged = 0
    repeated = False
    for e in range(n):
        edges[e, SUM], edges[e, COUNT], edges[e, KEY] = total[e], count[e], key[e]
        edges[e, ENDS] = _pair(a[e], b[e])
        edges[e, QUEUED_SUM], edges[e, QUEUED_COUNT], edges[e, QUEUED_KEY] = total[e], count[e], key[e]
        edges[e, QUEUED_BITS] = scores[e]
        slot = _slot_of(slots, edges[e, ENDS], shift)
        if slots[slot, 0] != DEAD or a[e] == b[e]:
            repeated = True
            break
        slots[slot, 0], slots[slot, 1] = edges[e, ENDS], e
        for h, node in ((2 * e, a[e]), (2 * e + 1, b[e])):
            following[h] = heads[node]
            heads[node] = h
            lengths[node] += 1
    if not repeated:
        _settle_order(order, edges)
        heap = np.empty(n, np.int64)
        waiting, in_heap = 0, 0
        while True:
            while waiting < n and edges[order[waiting], ENDS] == DEAD:
                waiting += 1
            if waiting == n and in_heap == 0:
                break
            from_heap = waiting == n or (in_heap > 0 and _queued_before(edges, heap[0], order[waiting]))
            e = heap[0] if from_heap else order[waiting]
            if compare(edges[e, QUEUED_SUM], edges[e, QUEUED_COUNT], floor_numerator, floor_denominator) < 0:
                break
            changed = edges[e, ENDS] != DEAD and (
                edges[e, COUNT] != edges[e, QUEUED_COUNT]
                or edges[e, SUM] != edges[e, QUEUED_SUM]
                or edges[e, KEY] != edges[e, QUEUED_KEY]
            )
            if changed:
                _queue(edges, e)
                if from_heap:
                    _sift(heap, in_heap, edges, e)
                else:
                    waiting += 1
                    _push(heap, in_heap, edges, e)
                    in_heap += 1
                continue
            if from_heap:
                in_heap -= 1
                if in_heap > 0:
                    _sift(heap, in_heap, edges, heap[in_heap])
            else:
                waiting += 1
            ends = edges[e, ENDS]
            if ends == DEAD:
                continue

            short, long = ends >> 32, ends & 0xFFFFFFFF
            one, other = smallest[short], smallest[long]
            if frozen[one] or frozen[other]:
                # Not taken out of the table: nothing merges with either end any more, so the edge stays what it is.
                frozen[one] = frozen[other] = True
                continue
            merged_a[n_merged], merged_b[n_merged] = min(one, other), max(one, other)
            merged[n_merged, 0], merged[n_merged, 1] = edges[e, SUM], edges[e, COUNT]
            merged[n_merged, 2] = edges[e, KEY]
            n_merged += 1
            if lengths[short] > lengths[long]:
                short, long = long, short
            smallest[long] = min(one, other)
            _remove(slots, ends, shift)
            edges[e, ENDS] = DEAD
            h = np.int64(heads[short])
            while h != LAST:
                after = np.int64(following[h])
                f = h >> 1
                ends = edges[f, ENDS]
                if ends != DEAD:
                    far = (ends >> 32) + (ends & 0xFFFFFFFF) - short
                    _remove(slots, ends, shift)
                    pair = _pair(long, far)
                    slot = _slot_of(slots, pair, shift)
                    stays = True
                    if slots[slot, 0] != DEAD:
                        g = slots[slot, 1]
                        sums = edges[f, SUM] + edges[g, SUM]
                        counts = edges[f, COUNT] + edges[g, COUNT]
                        largest = max(edges[f, KEY], edges[g, KEY])
                        stays = _queued_before(edges, f, g)
                        kept, gone = (f, g) if stays else (g, f)
                        if percent > 0:
                            for k in range(histograms.shape[1]):
                                histograms[kept, k] += histograms[gone, k]
                            sums, counts = quantile(histograms[kept], percent)
                        edges[gone, ENDS] = DEAD
                        edges[kept, SUM], edges[kept, COUNT], edges[kept, KEY] = sums, counts, largest
                    if stays:
                        edges[f, ENDS] = pair
                        slots[slot, 0], slots[slot, 1] = pair, f
                        following[h] = heads[long]
                        heads[long] = h
                        lengths[long] += 1
                h = after
    return (
        repeated,
        merged_a[:n_merged],
        merged_b[:n_merged],
        merged[:n_merged, 0],
        merged[:n_merged, 1],
        merged[:n_merged, 2],
    )
