"""How much the labels of neighbouring blocks agree where both blocks have labels, and which of them are one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from axonloom.assembly.halo_slabs import OUTSIDE, Slab
from axonloom.assembly.tables import read_table, write_table
from axonloom.assembly.thresholds import Threshold, threshold_fraction
from axonloom.kernel import kernel

KIND = "axonloom overlap table"
FORMAT_VERSION = 1
COLUMNS = ("axis", "a", "b", "intersection", "size_a", "size_b")

Measure = Literal["iou", "containment"]


@dataclass(frozen=True)
class OverlapTable:
    """Pairs of labels that share voxels across the low faces of one block: arrays of one length, sorted by (axis, a, b).

    Attributes
    ----------
    axis : int8
        Of the face (0 = z).
    a, b : uint64
        The label of the block below, and that of the block itself, as :class:`~axonloom.assembly.halo_slabs.Slab` has them.
    intersection, size_a, size_b : int64
        Voxels of the shared region that both labels have, and that each has.
    """

    axis: np.ndarray
    a: np.ndarray
    b: np.ndarray
    intersection: np.ndarray
    size_a: np.ndarray
    size_b: np.ndarray

    def __len__(self) -> int:
        return len(self.a)

    @property
    def union(self) -> np.ndarray:
        """Voxels of the shared region that either label has, int64."""
        return self.size_a + self.size_b - self.intersection

    @property
    def smaller(self) -> np.ndarray:
        """Voxels of the smaller of the two, int64."""
        return np.minimum(self.size_a, self.size_b)

    @classmethod
    def of(cls, lower: Slab, upper: Slab) -> OverlapTable:
        """Count the labels of the block below against those of the block above.

        Raises
        ------
        ValueError
            The two slabs are not of the same voxels.
        """
        if lower.axis != upper.axis or lower.box.origin != upper.box.origin or lower.box.shape != upper.box.shape:
            raise ValueError(
                f"the slabs {lower.box} (axis {lower.axis}) and {upper.box} (axis {upper.axis}) are not of the same voxels"
            )
        (a, of_a, size_a), (b, of_b, size_b) = _distinct(lower.labels), _distinct(upper.labels)
        pairs, counts = np.unique(of_a * len(b) + of_b, return_counts=True)
        first, second = pairs // max(1, len(b)), pairs % max(1, len(b))
        kept = (a[first] != 0) & (b[second] != 0)
        first, second = first[kept], second[kept]
        return cls(
            np.full(len(first), upper.axis, np.int8), a[first], b[second], counts[kept], size_a[first], size_b[second]
        )

    @classmethod
    def concatenate(cls, tables: Sequence[OverlapTable]) -> OverlapTable:
        """All rows of several tables, one after another."""
        empty = cls(
            np.zeros(0, np.int8), *(np.zeros(0, np.uint64) for _ in "ab"), *(np.zeros(0, np.int64) for _ in "123")
        )
        return cls(*(np.concatenate([getattr(t, name) for t in (empty, *tables)]) for name in COLUMNS))

    def write(self, path: Path) -> None:
        """Write the table, with both measures beside the counts for those who read it."""
        columns = {name: getattr(self, name) for name in COLUMNS}
        measures = {"iou": self.intersection / self.union, "containment": self.intersection / self.smaller}
        write_table(path, pa.table({**columns, **measures}), KIND, FORMAT_VERSION)

    @classmethod
    def read(cls, path: Path) -> OverlapTable:
        """Read what :meth:`write` wrote; raises TableError when the file is damaged or of a newer format."""
        table = read_table(path, KIND, FORMAT_VERSION, COLUMNS)
        return cls(*(table[name].to_numpy() for name in COLUMNS))


def mutual_best(table: OverlapTable, measure: Measure, minimum: Threshold) -> np.ndarray:
    """Pairs of one block's table that are each other's best match across their face.

    Parameters
    ----------
    table : OverlapTable
        Of one block.
    measure : "iou" or "containment"
        Intersection over the union of the two, or over the smaller one. It decides whether a match is good enough, and which of
        two of one intersection is better (exactly; then the smaller id). The best match is that of the largest
        intersection: by containment alone, every speck inside an object would match it better than its own other half.
    minimum : decimal of 0..1
        Best matches below it are left apart.

    Returns
    -------
    uint64 (n, 2)
        Ids (a, b), both of labels that their blocks own voxels of.
    """
    least = threshold_fraction(minimum)
    whole = table.union if measure == "iou" else table.smaller
    found = [np.empty((0, 2), np.uint64)]
    for axis in range(3):
        rows = np.flatnonzero(table.axis == axis)
        a, of_a = np.unique(table.a[rows], return_inverse=True)
        b, of_b = np.unique(table.b[rows], return_inverse=True)
        chosen = rows[_mutual(of_a, of_b, len(a), len(b), table.intersection[rows], whole[rows])]
        # Python's integers: a decimal fraction may have any number of digits.
        share = table.intersection[chosen].astype(object) * least.denominator
        chosen = chosen[(share >= whole[chosen].astype(object) * least.numerator).astype(bool)]
        pairs = np.stack([table.a[chosen], table.b[chosen]], axis=1)
        found.append(pairs[((pairs & OUTSIDE) == 0).all(axis=1)])
    return np.concatenate(found)


def _distinct(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ids (ascending), where each voxel's stands among them, and their voxels."""
    ids, positions, counts = np.unique(labels.ravel(), return_inverse=True, return_counts=True)
    return ids, positions, counts


@kernel
def _mutual(a, b, n_a, n_b, intersection, whole):
    """Rows (sorted by a, then b) that are the best of both their ends."""
    best_a, best_b = np.full(n_a, -1), np.full(n_b, -1)
    for row in range(len(a)):
        for best, end in ((best_a, a[row]), (best_b, b[row])):
            old = best[end]
            if old < 0:
                best[end] = row
                continue
            # Of one intersection, the smaller whole has the higher measure.
            if intersection[row] > intersection[old] or (
                intersection[row] == intersection[old] and whole[row] < whole[old]
            ):
                best[end] = row
    kept = np.zeros(len(a), np.bool_)
    for row in range(len(a)):
        kept[row] = best_a[a[row]] == row and best_b[b[row]] == row
    return np.flatnonzero(kept)
