"""Agglomeration of a region graph, or of a part of one, by the mean affinity or a quantile of it; exact to the last tie.

The best edge is merged again and again, down to a threshold: greedy in the strict order (score down, key up), scores compared
as fractions. Both scores are reducible (Bruynooghe 1978): merging never raises the best score to a third object. So
scores only fall along the record, an edge that has changed since it was queued can wait in its old place until it comes up,
and the result is a function of the graph alone. Method as in waterz (Funke et al. 2019) and abiss (Lu et al. 2021), with
ties resolved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from axonloom.assembly.affinity_bins import MOST_CONTACTS, quantile, require_few_contacts
from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.exact_fractions import compare, leading_bits
from axonloom.assembly.id_map import distinct, positions
from axonloom.assembly.thresholds import FULL_SCALE, Threshold, threshold_fraction
from axonloom.assembly.union_find import canonical_positions
from axonloom.kernel import kernel
from axonloom.segmentation.edge_queue import (
    BITS,
    COUNT,
    EDGE,
    ENDS,
    GONE,
    KEY,
    SUM,
    WAS_COUNT,
    WAS_KEY,
    WAS_SUM,
    is_before,
    is_better,
    order_of,
    place,
    rise,
    sink,
    swap,
)
from axonloom.segmentation.edge_rows import LARGEST_SUM, EdgeRows
from axonloom.segmentation.pair_table import FREE, MOST_EDGES, edge_in, ends_of, entry, pair_of, remove, slot_of


def agglomerate(edges: EdgeTable, lowest: Threshold = "0", percent: int | None = None) -> Dendrogram:
    """Merge the objects of a region graph, best score first.

    Takes about 80 bytes of memory an edge (more where merges change nearly all), and 1 to 2 CPU seconds per million edges.

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
    a, b = (positions(ids, ends, "the graph") for ends in (edges.a, edges.b))
    if len(distinct((a << 32 | b).view(np.uint64))) < len(edges):
        raise ValueError("a pair of objects occurs twice in the region graph: aggregate the edge table first")
    rows = EdgeRows.of([(edges, a, b)])
    return agglomerate_part(ids, rows, np.zeros(len(ids), np.bool_), lowest, percent).merges


@dataclass(frozen=True)
class Agglomerated:
    """What became of a part.

    Attributes
    ----------
    merges : Dendrogram
        The merges that were made.
    first : int64 (n,)
        For each object the first of those that it is now one with.
    frozen : bool (n,)
        What is frozen in the end, by the first of those that it is made of. All edges between two such objects are undecided.
        Others are done: none of their edges reaches ``lowest``, and none ever will.
    undecided : EdgeTable
        These edges, added up and sorted, between objects by number.
    """

    merges: Dendrogram
    first: np.ndarray
    frozen: np.ndarray
    undecided: EdgeTable


def agglomerate_part(
    ids: np.ndarray, edges: EdgeRows, frozen: np.ndarray, lowest: Threshold, percent: int | None = None
) -> Agglomerated:
    """As many of the merges of :func:`agglomerate` as the rest of the volume cannot change, for a part of it.

    An object that is not all known is frozen: it is not merged. An edge to it that would come up next is not decided either,
    and so its other end freezes too. Since scores only fall, all merges that are left out here come after those that are made
    of their objects: going on with the joined parts gives the merges of the whole (Lu et al. 2021).

    Parameters
    ----------
    ids : uint64 (n,)
        The objects of the part, ascending; not all need to have edges.
    edges : EdgeRows
        Its graph, by their positions in ``ids``; a pair may have several rows. Used up.
    frozen : bool (n,)
        Objects whose contacts or own composition the rest of the volume may change.
    lowest, percent
        As in :func:`agglomerate`.

    Raises
    ------
    ThresholdError, ValueError
        As :func:`agglomerate`.
    """
    exact = threshold_fraction(lowest)
    floor = exact * FULL_SCALE
    if floor.numerator >= LARGEST_SUM or floor.denominator >= LARGEST_SUM:
        raise ValueError(f"the threshold {lowest} has more digits than 64-bit fractions hold")
    if len(edges) > MOST_EDGES:
        raise ValueError(f"a graph of {len(edges)} edges is too large for one agglomeration")
    if percent is not None and len(edges) and not edges.histogram.shape[1]:
        raise ValueError("quantiles need edges with histograms")
    frozen = frozen.copy()
    slots = edges.add_up()
    # With quantiles rows hold a fraction in the place of sum and count, and these are added up beside.
    totals = edges.rows[:, [SUM, COUNT]].copy() if percent is not None else np.empty((0, 2), np.int64)
    if percent is not None:
        _quantiles(edges.histogram, percent, edges.rows)
    a, b, merged, too_many = _merge_all(
        edges.rows,
        edges.best,
        edges.histogram,
        totals,
        slots,
        order_of(_with_a_live_end(edges.rows, frozen), edges.rows),
        percent or 0,
        frozen,
        floor.numerator,
        floor.denominator,
    )
    del slots
    require_few_contacts(int(too_many))
    total, count, key = merged.T.astype(np.uint64)
    first = canonical_positions(len(ids), a, b)
    left = _between_frozen(edges.rows, first, frozen)
    return Agglomerated(
        Dendrogram(ids[a], ids[b], total, count, key, lowest=exact),
        first,
        frozen,
        _undecided(edges, left, first, totals if percent is not None else edges.rows[:, SUM : COUNT + 1]),
    )


def _undecided(edges: EdgeRows, left: np.ndarray, first: np.ndarray, totals: np.ndarray) -> EdgeTable:
    """Some edges as a table between the first of what their ends are part of, sorted by them; ``totals`` (int64 (n, 2)) holds
    sums and counts.
    """
    a, b = edges.ends()
    one, other = first[a[left]], first[b[left]]
    one, other = np.minimum(one, other), np.maximum(one, other)
    order = np.argsort(one << 32 | other)
    left = left[order]
    columns = (
        one[order],
        other[order],
        totals[left, 0],
        totals[left, 1],
        edges.rows[left, KEY],
        edges.best[left],
    )
    return EdgeTable(*(column.view(np.uint64) for column in columns), histogram=edges.histogram[left])


#: The end of a list of half-edges.
LAST = 0xFFFFFFFF


@kernel
def _with_a_live_end(rows, frozen):
    """The edges (uint32) that are not between two objects that are frozen: there nothing will happen."""
    n = 0
    found = np.empty(len(rows), np.uint32)
    for e in range(len(rows)):
        a, b = ends_of(rows[e, ENDS])
        if not (frozen[a] and frozen[b]):
            found[n] = e
            n += 1
    return found[:n].copy()


@kernel
def _between_frozen(rows, first, frozen):
    """The edges (uint32) that are left between two objects that are frozen in the end."""
    n = 0
    found = np.empty(len(rows), np.uint32)
    for e in range(len(rows)):
        if rows[e, ENDS] != GONE:
            a, b = ends_of(rows[e, ENDS])
            if frozen[first[a]] and frozen[first[b]]:
                found[n] = e
                n += 1
    return found[:n].copy()


@kernel
def _quantiles(histograms, percent, rows) -> None:
    for e in range(len(rows)):
        rows[e, SUM], rows[e, COUNT] = quantile(histograms[e], percent)


@kernel
def _link(rows, frozen, heads, following, lengths) -> None:
    """Enter the edges into the lists of their ends, those between two that are frozen into none."""
    for e in range(len(rows)):
        one, other = ends_of(rows[e, ENDS])
        if frozen[one] and frozen[other]:
            continue
        for h, node in ((2 * e, one), (2 * e + 1, other)):
            following[h] = heads[node]
            heads[node] = h
            lengths[node] += 1


@kernel
def _merge_all(rows, best, histogram, totals, slots, order, percent, frozen, floor_numerator, floor_denominator):
    """The greedy loop over edges, of which ``order`` has the best first and ``slots`` is the table of pairs.

    ``percent`` is 0 for means; else SUM and COUNT are those of a quantile, and ``totals`` holds the sums and counts. All of an
    edge is added up in place.

    ``frozen`` says which nodes must not be merged; those that freeze on the way are added to it, under their smallest member.

    Edges wait in their order; those that changed while they waited go to a heap when they come up. Each node has a linked
    list of its half-edges (2e and 2e + 1); of two merged nodes the one with the shorter list moves over to the other's. A
    table finds the edge of a pair. Returns the merges as two positions and (n, 3) of int64, and 0; or the
    contacts of two objects that are too many for a histogram.
    """
    n, n_nodes = len(order), len(frozen)
    heads = np.full(n_nodes, LAST, np.uint32)
    lengths = np.zeros(n_nodes, np.uint32)
    following = np.empty(2 * len(rows), np.uint32)
    changed = np.zeros(len(rows), np.bool_)
    smallest = np.arange(n_nodes)
    _link(rows, frozen, heads, following, lengths)
    merged_a, merged_b = np.empty(n_nodes, np.int64), np.empty(n_nodes, np.int64)
    merged = np.empty((n_nodes, 3), np.int64)
    n_merged = 0
    heap = np.empty((1024, 5), np.int64)
    waiting, in_heap, bits = 0, 0, np.int64(-1)
    while True:
        while waiting < n and bits < 0:
            e = np.int64(order[waiting])
            if rows[e, ENDS] != GONE and not changed[e]:
                bits = leading_bits(rows[e, SUM], rows[e, COUNT])
                break
            waiting += 1
            if rows[e, ENDS] != GONE:
                changed[e] = False
                if in_heap == len(heap):
                    larger = np.empty((2 * in_heap, 5), np.int64)
                    larger[:in_heap] = heap
                    heap = larger
                place(heap, in_heap, rows, e)
                rise(heap, in_heap)
                in_heap += 1
        if waiting == n and in_heap == 0:
            break
        from_heap = waiting == n
        e = heap[0, EDGE] if from_heap else np.int64(order[waiting])
        if not from_heap:
            # It may have changed since its score was looked at; then it waits where it was.
            if rows[e, ENDS] == GONE or changed[e]:
                bits = np.int64(-1)
                continue
            from_heap = in_heap > 0 and is_before(
                heap[0, BITS], heap[0, WAS_SUM], heap[0, WAS_COUNT], heap[0, WAS_KEY],
                bits, rows[e, SUM], rows[e, COUNT], rows[e, KEY],
            )  # fmt: skip
        if from_heap:
            e = heap[0, EDGE]
            if compare(heap[0, WAS_SUM], heap[0, WAS_COUNT], floor_numerator, floor_denominator) < 0:
                break
            if changed[e] and rows[e, ENDS] != GONE:
                changed[e] = False
                place(heap, 0, rows, e)
                sink(heap, in_heap)
                continue
            in_heap -= 1
            if in_heap > 0:
                swap(heap, 0, in_heap)
                sink(heap, in_heap)
            if rows[e, ENDS] == GONE:
                continue
        else:
            if compare(rows[e, SUM], rows[e, COUNT], floor_numerator, floor_denominator) < 0:
                break
            waiting += 1
            bits = np.int64(-1)

        ends = rows[e, ENDS]
        short, long = ends_of(ends)
        one, other = smallest[short], smallest[long]
        if frozen[one] or frozen[other]:
            # Not taken out of the table: nothing merges with either end any more, so the edge stays what it is.
            frozen[one] = frozen[other] = True
            continue
        merged_a[n_merged], merged_b[n_merged] = min(one, other), max(one, other)
        merged[n_merged, 0], merged[n_merged, 1], merged[n_merged, 2] = rows[e, SUM], rows[e, COUNT], rows[e, KEY]
        n_merged += 1
        if lengths[short] > lengths[long]:
            short, long = long, short
        smallest[long] = min(one, other)
        remove(slots, rows, ends)
        rows[e, ENDS] = GONE
        h = np.int64(heads[short])
        while h != LAST:
            after = np.int64(following[h])
            f = h >> 1
            ends = rows[f, ENDS]
            if ends != GONE:
                a, b = ends_of(ends)
                far = a + b - short
                remove(slots, rows, ends)
                pair = pair_of(long, far)
                slot = slot_of(slots, rows, pair)
                stays = True
                if slots[slot] != FREE:
                    g = edge_in(slots[slot])
                    # The better of the two is queued no later than the sum of both may come up.
                    stays = is_better(
                        rows[f, SUM], rows[f, COUNT], rows[f, KEY], rows[g, SUM], rows[g, COUNT], rows[g, KEY]
                    )
                    kept, gone = (f, g) if stays else (g, f)
                    sums, counts = rows[f, SUM] + rows[g, SUM], rows[f, COUNT] + rows[g, COUNT]
                    for k in range(histogram.shape[1]):
                        histogram[kept, k] += histogram[gone, k]
                    if percent > 0:
                        totals[kept, 0] += totals[gone, 0]
                        totals[kept, 1] += totals[gone, 1]
                        if totals[kept, 1] >= MOST_CONTACTS:
                            return merged_a[:0], merged_b[:0], merged[:0], totals[kept, 1]
                        sums, counts = quantile(histogram[kept], percent)
                    largest = max(rows[f, KEY], rows[g, KEY])
                    rows[gone, ENDS] = GONE
                    rows[kept, SUM], rows[kept, COUNT], rows[kept, KEY] = sums, counts, largest
                    best[kept] = min(best[kept], best[gone])
                    changed[kept] = True
                if stays:
                    rows[f, ENDS] = pair
                    slots[slot] = entry(pair, f)
                    following[h] = heads[long]
                    heads[long] = h
                    lengths[long] += np.uint32(1)
            h = after
    return merged_a[:n_merged], merged_b[:n_merged], merged[:n_merged], np.int64(0)
