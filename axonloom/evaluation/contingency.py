"""How many voxels each segment shares with each label: all that the scores need, and it adds up over blocks.

The counts are integers and the rows have one order, so the table of a whole volume is the same array for array however the
volume was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from axonloom.assembly.tables import read_table, write_table
from axonloom.bad_input import BadInputError
from axonloom.kernel import kernel

KIND = "axonloom contingency table"
FORMAT_VERSION = 1


class EvaluationError(BadInputError):
    """Two volumes that cannot be compared, said in one sentence: what, where, and what would work."""


@dataclass(frozen=True, eq=False)
class ContingencyTable:
    """``counts[i]`` voxels are in segment ``segments[i]`` and carry label ``labels[i]``.

    Background (0) of either side is kept as an id like any other; the scores decide what it means.

    Attributes
    ----------
    segments, labels : uint64 (n,)
        Pairs of ids, each pair once, ascending by segment, then by label.
    counts : int64 (n,)
        At least 1.
    """

    segments: np.ndarray
    labels: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, segmentation: np.ndarray, labels: np.ndarray) -> ContingencyTable:
        """The table of two integer arrays of one shape (any number of axes).

        Raises
        ------
        EvaluationError
            Shapes that differ, ids that are not integers, or negative ids.
        """
        if segmentation.shape != labels.shape:
            raise EvaluationError(
                f"the segmentation has {segmentation.shape} voxels, the labels have {labels.shape}; they must agree"
            )
        first, second = flat_ids(segmentation, "the segmentation"), flat_ids(labels, "the labels")
        return cls._canonical(*_count_pairs(first, second))

    @classmethod
    def empty(cls) -> ContingencyTable:
        return cls(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.int64))

    @classmethod
    def summed(cls, tables: Iterable[ContingencyTable]) -> ContingencyTable:
        """The sum of any number of tables; memory for about twice the pairs of the result and of the largest table."""
        total = cls.empty()
        waiting: list[ContingencyTable] = []
        for table in tables:
            waiting.append(table)
            # Adding each small table to a large total would sort the total every time.
            if sum(map(len, waiting)) > max(len(total), 1 << 16):
                total = cls._merged([total, *waiting])
                waiting = []
        return cls._merged([total, *waiting])

    def __add__(self, other: ContingencyTable) -> ContingencyTable:
        return self._merged([self, other])

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.counts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ContingencyTable):
            return NotImplemented
        return all(
            np.array_equal(mine, theirs)
            for mine, theirs in (
                (self.segments, other.segments),
                (self.labels, other.labels),
                (self.counts, other.counts),
            )
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def voxels(self) -> int:
        """Voxels counted, background included."""
        return int(self.counts.sum())

    def relabelled(self, segment_of: Callable[[np.ndarray], np.ndarray]) -> ContingencyTable:
        """The table of a segmentation whose segments are unions of this one's: exact, and no voxel is read.

        Parameters
        ----------
        segment_of : function
            Takes ids, uint64 (n,), ascending, without 0, and gives each one's new id (n,); 0 makes it background.
        """
        # Rows are sorted by segment, so distinct ids are where the column changes.
        first = np.ones(len(self), bool)
        first[1:] = self.segments[1:] != self.segments[:-1]
        ids = self.segments[first]
        new = np.zeros(len(ids), np.uint64)
        new[ids != 0] = segment_of(ids[ids != 0])
        segments = np.repeat(new, np.diff(np.append(np.flatnonzero(first), len(self))))
        return self._canonical(*_add_pairs(segments, self.labels, self.counts))

    def without_label_zero(self) -> ContingencyTable:
        """Only what ground truth speaks of."""
        return self.where(self.labels != 0)

    def where(self, mask: np.ndarray) -> ContingencyTable:
        """The rows that a bool array (n,) picks."""
        return ContingencyTable(self.segments[mask], self.labels[mask], self.counts[mask])

    @classmethod
    def _merged(cls, tables: list[ContingencyTable]) -> ContingencyTable:
        tables = [t for t in tables if len(t)]
        if len(tables) == 1:
            return tables[0]
        if not tables:
            return cls.empty()
        segments, labels, counts = (
            np.concatenate([getattr(t, name) for t in tables]) for name in ("segments", "labels", "counts")
        )
        return cls._canonical(*_add_pairs(segments, labels, counts))

    @classmethod
    def _canonical(cls, segments: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> ContingencyTable:
        """Distinct pairs in any order, put in order."""
        order = np.argsort(segments, kind="stable")
        segments = segments[order]
        tied = np.flatnonzero(segments[1:] == segments[:-1])
        if len(tied):
            # Most segments meet few labels: sorting again only where a segment has several rows is much less work.
            rows = np.union1d(tied, tied + 1)
            among = np.lexsort((labels[order[rows]], segments[rows]))
            order[rows] = order[rows][among]
        return cls(segments, labels[order], counts[order])

    def write(self, path: Path) -> None:
        """Write the table as Parquet, whole or not at all."""
        columns = {"segment": self.segments, "label": self.labels, "count": self.counts}
        write_table(Path(path), pa.table(columns), KIND, FORMAT_VERSION)

    @classmethod
    def read(cls, path: Path) -> ContingencyTable:
        """What :meth:`write` wrote.

        Raises
        ------
        TableError
            The file is missing, damaged, or of a newer format; names the file.
        """
        table = read_table(Path(path), KIND, FORMAT_VERSION)
        return cls(*(table[name].to_numpy() for name in ("segment", "label", "count")))


def require_ids(dtype: np.dtype, what: str) -> None:
    """Refuse a dtype that cannot hold object ids.

    Raises
    ------
    EvaluationError
    """
    if dtype.kind not in "uib":
        raise EvaluationError(
            f"{what}: values of dtype {dtype} are no object ids; convert them to an integer type such as uint64 first"
        )


def flat_ids(array: np.ndarray, what: str) -> np.ndarray:
    """The array as a flat one of uint32 or uint64, without a copy where possible.

    Raises
    ------
    EvaluationError
        Not integers, or negative ones.
    """
    require_ids(array.dtype, what)
    flat = np.ascontiguousarray(array).ravel()
    if flat.dtype.kind == "i":
        if len(flat) and flat.min() < 0:
            raise EvaluationError(f"{what}: ids go down to {flat.min()}, but they are not negative; 0 means no object")
        flat = flat.view(np.dtype(f"u{flat.dtype.itemsize}").newbyteorder(flat.dtype.byteorder))
    # Two widths are enough: numba compiles the kernels anew for each pair of types.
    wide = np.uint64 if flat.dtype.itemsize == 8 else np.uint32
    return flat.astype(wide, copy=False)


_MIX_A = np.uint64(0x9E3779B97F4A7C15)
_MIX_B = np.uint64(0xC2B2AE3D27D4EB4F)

# The kernels' hash table is one array of rows (segment, label, count, unused): a row is half a cache line, so that a look-up
# costs one access to memory. A count of 0 marks a free row.


@kernel
def _slot(rows, bits, a, b):
    """The row of the pair, or the free row where it belongs, among 2**bits."""
    mask = np.int64((1 << bits) - 1)
    mixed = (a * _MIX_A) ^ (b * _MIX_B)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX_A
    slot = np.int64(mixed >> np.uint64(64 - bits))
    while rows[slot, 2] != 0 and (rows[slot, 0] != a or rows[slot, 1] != b):
        slot = (slot + 1) & mask
    return slot


@kernel
def _grown(rows, bits):
    """The same table with twice the rows."""
    more = np.zeros((2 << bits, 4), np.uint64)
    for i in range(len(rows)):
        if rows[i, 2] != 0:
            slot = _slot(more, bits + 1, rows[i, 0], rows[i, 1])
            more[slot] = rows[i]
    return more


@kernel
def _packed(rows, filled):
    """Segments, labels and counts of the rows in use."""
    a = np.empty(filled, np.uint64)
    b = np.empty(filled, np.uint64)
    counts = np.empty(filled, np.int64)
    n = 0
    for i in range(len(rows)):
        if rows[i, 2] != 0:
            a[n] = rows[i, 0]
            b[n] = rows[i, 1]
            counts[n] = rows[i, 2]
            n += 1
    return a, b, counts


@kernel
def _count_pairs(first, second):
    """Distinct pairs of two flat arrays and how often each occurs. Runs of one pair, the usual case, are counted once."""
    bits = 10
    rows = np.zeros((1 << bits, 4), np.uint64)
    filled = 0
    i = 0
    n = len(first)
    while i < n:
        start = i
        a, b = first[i], second[i]
        i += 1
        while i < n and first[i] == a and second[i] == b:
            i += 1
        slot = _slot(rows, bits, np.uint64(a), np.uint64(b))
        if rows[slot, 2] == 0:
            rows[slot, 0] = a
            rows[slot, 1] = b
            filled += 1
        rows[slot, 2] += np.uint64(i - start)
        if 2 * filled > len(rows):
            rows = _grown(rows, bits)
            bits += 1
    return _packed(rows, filled)


@kernel
def _add_pairs(first, second, counts):
    """Distinct pairs of weighted ones, with their sums. Counts are at least 1."""
    bits = 10
    rows = np.zeros((1 << bits, 4), np.uint64)
    filled = 0
    for i in range(len(first)):
        slot = _slot(rows, bits, first[i], second[i])
        if rows[slot, 2] == 0:
            rows[slot, 0] = first[i]
            rows[slot, 1] = second[i]
            filled += 1
        rows[slot, 2] += np.uint64(counts[i])
        if 2 * filled > len(rows):
            rows = _grown(rows, bits)
            bits += 1
    return _packed(rows, filled)
