"""The edges of a part as rows of numbers: what absorption and agglomeration work on, in place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from axonloom.assembly.affinity_bins import require_few_contacts
from axonloom.assembly.edge_table import EdgeTable
from axonloom.kernel import kernel
from axonloom.segmentation.edge_queue import COUNT, ENDS, GONE, KEY, SUM
from axonloom.segmentation.pair_table import FREE, edge_in, ends_of, entry, free_slots, pair_of, slot_of

LARGEST_SUM = 2**62


@dataclass
class EdgeRows:
    """Edges between numbered objects. A row is taken out by setting its ENDS to GONE; :meth:`add_up` drops such rows, and until
    then the length counts them.

    Attributes
    ----------
    rows : int64 (n, 4)
        As in :mod:`axonloom.segmentation.edge_queue`.
    best : uint64 (n,)
        As in an :class:`EdgeTable`.
    histogram : uint32 (n, bins)
        Likewise; no bins where nobody asked for them.
    """

    rows: np.ndarray
    best: np.ndarray
    histogram: np.ndarray

    @classmethod
    def of(cls, tables: Iterable[tuple[EdgeTable, np.ndarray, np.ndarray]]) -> EdgeRows:
        """All rows of some tables, but for those of an object with itself.

        Parameters
        ----------
        tables : one after another
            A table, and for its rows the numbers of their two objects (int64, below 2**31).

        Raises
        ------
        ValueError
            The affinities add up to 2**62 and more, or only some tables with rows have histograms.
        """
        rows, best, histograms = [np.empty((0, 4), np.int64)], [np.empty(0, np.uint64)], []
        total = 0.0
        for table, a, b in tables:
            total += float(table.sum.sum(dtype=np.float64))
            if total >= LARGEST_SUM:
                raise ValueError(
                    f"the affinities between objects add up to {total:.3g}: too large for one agglomeration"
                )
            apart = np.flatnonzero(a != b)
            rows.append(_rows(apart, a, b, table.sum, table.count, table.key))
            best.append(table.best[apart])
            histograms.append(table.histogram[apart])
        # A table without rows may not know that there are bins.
        bins = max((h.shape[1] for h in histograms), default=0)
        if any(len(h) and h.shape[1] != bins for h in histograms):
            raise ValueError("some edges have histograms and others none: they were not counted with the same settings")
        histograms = [np.empty((0, bins), np.uint32), *(h for h in histograms if len(h))]
        return cls(_one(rows), _one(best), _one(histograms))

    def __len__(self) -> int:
        return len(self.rows)

    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The two objects (uint32) of each row; of those that are gone anything."""
        ends = self.rows[:, ENDS]
        return (ends >> 32).astype(np.uint32), ends.astype(np.uint32)

    def rename(self, becomes: np.ndarray) -> None:
        """Each object i has become object ``becomes[i]`` (int64): edges between what is one now go."""
        _rename(self.rows, becomes)

    def add_up(self) -> np.ndarray:
        """One row a pair, in place: sums, counts and histograms added, the largest key and the strongest pair kept.

        Returns
        -------
        int64
            The table of pairs (see :mod:`axonloom.segmentation.pair_table`).

        Raises
        ------
        ValueError
            A pair has more contacts than a bin of its histogram can count.
        """
        slots = free_slots(len(self.rows))
        n = _add_up(self.rows, self.best, self.histogram, slots)
        self.rows, self.best, self.histogram = self.rows[:n], self.best[:n], self.histogram[:n]
        if self.histogram.shape[1] and n:
            require_few_contacts(int(self.rows[:, COUNT].max()))
        return slots


def _one(arrays: list[np.ndarray]) -> np.ndarray:
    """One array of all, which go: edges are the most that a part has, and are not to stay in memory twice."""
    found = np.concatenate(arrays)
    arrays.clear()
    return found


@kernel
def _rows(picked, a, b, total, count, key):
    rows = np.empty((len(picked), 4), np.int64)
    for e in range(len(picked)):
        i = picked[e]
        rows[e, SUM], rows[e, COUNT], rows[e, KEY] = np.int64(total[i]), np.int64(count[i]), np.int64(key[i])
        rows[e, ENDS] = pair_of(a[i], b[i])
    return rows


@kernel
def _rename(rows, becomes) -> None:
    for e in range(len(rows)):
        if rows[e, ENDS] != GONE:
            a, b = ends_of(rows[e, ENDS])
            one, other = becomes[a], becomes[b]
            rows[e, ENDS] = GONE if one == other else pair_of(one, other)


@kernel
def _add_up(rows, best, histogram, slots):
    """How many rows are left; they are the first ones."""
    n = 0
    bins = histogram.shape[1]
    for e in range(len(rows)):
        ends = rows[e, ENDS]
        if ends == GONE:
            continue
        slot = slot_of(slots, rows, ends)
        if slots[slot] == FREE:
            slots[slot] = entry(ends, n)
            rows[n, SUM], rows[n, COUNT], rows[n, KEY] = rows[e, SUM], rows[e, COUNT], rows[e, KEY]
            rows[n, ENDS] = ends
            best[n] = best[e]
            for k in range(bins):
                histogram[n, k] = histogram[e, k]
            n += 1
        else:
            f = edge_in(slots[slot])
            rows[f, SUM] += rows[e, SUM]
            rows[f, COUNT] += rows[e, COUNT]
            rows[f, KEY] = max(rows[f, KEY], rows[e, KEY])
            best[f] = min(best[f], best[e])
            for k in range(bins):
                histogram[f, k] += histogram[e, k]
    return n
