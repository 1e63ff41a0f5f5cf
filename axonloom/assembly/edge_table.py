"""Contacts between labelled objects, as integers that add up to the same graph in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from axonloom.assembly.affinity_bins import require_few_contacts
from axonloom.assembly.id_map import distinct, positions
from axonloom.assembly.tables import read_table, write_table
from axonloom.kernel import kernel

KIND = "axonloom edge table"
FORMAT_VERSION = 2
COLUMNS = ("a", "b", "sum", "count", "key", "best")
HISTOGRAM = "histogram"

INDEX_BITS = 55
"""Bits of a global edge index: enough for 10**16 voxels."""


@dataclass(frozen=True)
class EdgeTable:
    """Edges of a region graph: six uint64 arrays of one length, and a histogram where quantiles are wanted.

    Attributes
    ----------
    a, b : uint64
        The two objects, ``a < b``.
    sum, count : uint64
        Sum of the raw affinities (0..255 each) and number of the voxel pairs in contact.
    key : uint64
        The largest global edge index (3 x linear index of the voxel that stores the edge, plus its channel) of those
        pairs. It breaks ties between equal scores; a maximum is associative, so it too adds up in any order.
    best : uint64
        The strongest of those pairs, as (255 - affinity) << INDEX_BITS | global edge index: the smaller the stronger, the
        first of equals. A minimum adds up in any order.
    histogram : uint32 (n, bins)
        How many of the voxel pairs have an affinity in each bin (see :mod:`axonloom.assembly.affinity_bins`); no bins where
        nobody asked for them.
    """

    a: np.ndarray
    b: np.ndarray
    sum: np.ndarray
    count: np.ndarray
    key: np.ndarray
    best: np.ndarray
    histogram: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.uint32))

    def __post_init__(self) -> None:
        if self.histogram.shape == (0, 0):
            object.__setattr__(self, HISTOGRAM, np.zeros((len(self.a), 0), np.uint32))
        if self.histogram.dtype != np.uint32 or self.histogram.ndim != 2 or len(self.histogram) != len(self.a):
            raise ValueError(
                f"the histograms of {len(self.a)} edges are uint32 of shape ({len(self.a)}, bins), not "
                f"{self.histogram.dtype} {self.histogram.shape}"
            )
        for name in COLUMNS:
            column = getattr(self, name)
            if column.dtype != np.uint64 or column.shape != (len(self.a),):
                raise ValueError(
                    f"column {name} of an edge table is uint64 of shape ({len(self.a)},), not {column.dtype} {column.shape}"
                )
        if self.bins and len(self):
            require_few_contacts(int(self.count.max()))

    def __len__(self) -> int:
        return len(self.a)

    @classmethod
    def empty(cls) -> EdgeTable:
        return cls(*(np.zeros(0, np.uint64) for _ in COLUMNS))

    @property
    def bins(self) -> int:
        """Bins of the histograms; 0 where there are none."""
        return self.histogram.shape[1]

    @classmethod
    def concatenate(cls, tables: Sequence[EdgeTable]) -> EdgeTable:
        """All rows of several tables, one after another; add up equal edges with :meth:`aggregated`."""
        if not tables:
            return cls.empty()
        bins = max(t.bins for t in tables)
        # A table without rows may not know that there are bins.
        histograms = [t.histogram for t in tables if t.bins == bins]
        columns = (np.concatenate([getattr(t, name) for t in tables]) for name in COLUMNS)
        return cls(*columns, histogram=np.concatenate(histograms))

    def taken(self, rows: np.ndarray) -> EdgeTable:
        """The rows that an index or boolean array picks."""
        return EdgeTable(*(getattr(self, name)[rows] for name in COLUMNS), histogram=self.histogram[rows])

    def across(self, axes: Sequence[int]) -> EdgeTable:
        """The rows whose voxel pairs lie along some axes (0 = z), in a table of which each row holds pairs of one axis only."""
        return self.taken(np.isin(self.key % np.uint64(3), axes))

    def aggregated(self) -> EdgeTable:
        """One row an edge: sums and counts added, the largest key and the strongest pair kept, sorted by (a, b), self-edges dropped."""
        return self.joined(self.a, self.b)

    def relabelled(self, old_ids: np.ndarray, new_ids: np.ndarray) -> EdgeTable:
        """The edges, :meth:`aggregated`, after each ``old_ids[i]`` (ascending) has become ``new_ids[i]``.

        Raises
        ------
        UnknownIdError
            Names the first id that ``old_ids`` lacks.
        """
        return self.joined(
            new_ids[positions(old_ids, self.a, "the table of new ids")],
            new_ids[positions(old_ids, self.b, "the table of new ids")],
        )

    def joined(self, a: np.ndarray, b: np.ndarray) -> EdgeTable:
        """The edges, :meth:`aggregated`, after the ends of each row have become others (uint64, in any order within a row)."""
        if len(self) == 0:
            return self
        if max(a.max(), b.max()) >= 2**32:
            ids = distinct(a, b)
            return self.joined(*(positions(ids, end, "the edges").view(np.uint64) for end in (a, b))).named(ids)
        pairs = _pairs(a, b)
        order = np.argsort(pairs)
        order = order[: np.searchsorted(pairs, NO_PAIR, sorter=order)]
        columns = _added_up(order, pairs, self.sum, self.count, self.key, self.best)
        return EdgeTable(*columns, histogram=_histograms_added_up(order, pairs, self.histogram))

    def named(self, ids: np.ndarray) -> EdgeTable:
        """The rows with ids (ascending) in place of positions in them."""
        return replace(self, a=ids[self.a], b=ids[self.b])

    def write(self, path: Path) -> None:
        table = pa.table({name: getattr(self, name) for name in COLUMNS})
        if self.bins:
            flat = pa.array(self.histogram.ravel(), pa.uint32())
            table = table.append_column(HISTOGRAM, pa.FixedSizeListArray.from_arrays(flat, self.bins))
        write_table(path, table, KIND, FORMAT_VERSION)

    @classmethod
    def read(cls, path: Path) -> EdgeTable:
        """Read what :meth:`write` wrote; raises TableError when the file is damaged or of a newer format."""
        table = read_table(path, KIND, FORMAT_VERSION)
        columns = [table[name].to_numpy() for name in COLUMNS]
        if HISTOGRAM not in table.column_names:
            return cls(*columns)
        histogram = table[HISTOGRAM].combine_chunks()
        return cls(*columns, histogram=histogram.flatten().to_numpy().reshape(-1, histogram.type.list_size))


#: What an edge of an object to itself has for a pair: the last in any order.
NO_PAIR = np.uint64(2**64 - 1)


@kernel
def _pairs(a, b):
    """The two ends of each row (below 2**32) as one number, which sorts by the smaller and then by the other."""
    pairs = np.empty(len(a), np.uint64)
    for i in range(len(a)):
        pairs[i] = NO_PAIR if a[i] == b[i] else min(a[i], b[i]) << np.uint64(32) | max(a[i], b[i])
    return pairs


def _histograms_added_up(order: np.ndarray, pairs: np.ndarray, histogram: np.ndarray) -> np.ndarray:
    """One histogram for each run of equal pairs along ``order``."""
    if not len(order):
        return histogram[:0]
    if not histogram.shape[1]:
        return np.zeros((0, 0), np.uint32)
    pairs = pairs[order]
    starts = np.flatnonzero(np.concatenate([[True], pairs[1:] != pairs[:-1]]))
    return np.add.reduceat(histogram[order], starts, axis=0, dtype=np.uint32)


@kernel
def _added_up(order, pairs, total, count, key, best):
    """One row for each run of equal pairs along ``order``."""
    n = 0
    for k in range(len(order)):
        n += k == 0 or pairs[order[k]] != pairs[order[k - 1]]
    out = np.zeros((6, n), np.uint64)
    row = -1
    before = NO_PAIR
    for k in range(len(order)):
        i = order[k]
        if pairs[i] != before:
            row += 1
            before = pairs[i]
            out[0, row], out[1, row] = before >> np.uint64(32), before & np.uint64(0xFFFFFFFF)
            out[5, row] = best[i]
        out[2, row] += total[i]
        out[3, row] += count[i]
        out[4, row] = max(out[4, row], key[i])
        out[5, row] = min(out[5, row], best[i])
    return out
