"""The record of an agglomeration: one run holds the segmentation at every threshold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa

from axonloom.assembly.tables import TableError, read_table, write_table
from axonloom.assembly.thresholds import FULL_SCALE, Threshold, ThresholdError, threshold_fraction

KIND = "axonloom dendrogram"
FORMAT_VERSION = 1
COLUMNS = ("a", "b", "sum", "count", "key")


@dataclass(frozen=True)
class Dendrogram:
    """Merges in the order in which they were made: score down, key up. Scores never rise along it.

    Attributes
    ----------
    a, b : uint64
        The two objects that were merged, each named by its smallest fragment id; ``a < b``, and ``a`` names the result.
    sum, count, key : uint64
        The edge between them at that moment (see :class:`~axonloom.assembly.edge_table.EdgeTable`). The merge's score is
        ``sum / count / 255``.
    lowest : Fraction
        The threshold that the run went down to; segmentations below it are not in the record.
    """

    a: np.ndarray
    b: np.ndarray
    sum: np.ndarray
    count: np.ndarray
    key: np.ndarray
    lowest: Fraction

    def __post_init__(self) -> None:
        for name in COLUMNS:
            column = getattr(self, name)
            if column.dtype != np.uint64 or column.shape != (len(self.a),):
                raise ValueError(
                    f"column {name} of a dendrogram is uint64 of shape ({len(self.a)},), not {column.dtype} {column.shape}"
                )

    def __len__(self) -> int:
        return len(self.a)

    def score(self, i: int) -> Fraction:
        """The mean affinity (0..1) of merge ``i``, exactly."""
        return Fraction(int(self.sum[i]), int(self.count[i]) * FULL_SCALE)

    def merges_at(self, threshold: Threshold) -> int:
        """How many of the merges, from the first on, have a mean affinity of at least ``threshold``.

        Raises
        ------
        ThresholdError
            The threshold is not a number of 0..1, or lies below the run's lowest.
        """
        exact = threshold_fraction(threshold)
        if exact < self.lowest:
            raise ThresholdError(
                f"the agglomeration went down to {float(self.lowest):g}; a threshold of {threshold} lies below that: "
                "run it again with a lower lowest threshold"
            )
        first, end = 0, len(self)
        while first < end:
            middle = (first + end) // 2
            if self.score(middle) >= exact:
                first = middle + 1
            else:
                end = middle
        return first

    def write(self, path: Path) -> None:
        table = pa.table({name: getattr(self, name) for name in COLUMNS})
        lowest = json.dumps([self.lowest.numerator, self.lowest.denominator])
        write_table(path, table.replace_schema_metadata({"lowest": lowest}), KIND, FORMAT_VERSION)

    @classmethod
    def read(cls, path: Path) -> Dendrogram:
        """Read what :meth:`write` wrote; raises TableError when the file is damaged or of a newer format."""
        table = read_table(path, KIND, FORMAT_VERSION, COLUMNS)
        lowest = (table.schema.metadata or {}).get(b"lowest")
        if lowest is None:
            raise TableError(f"{path} does not say down to which threshold it goes: run the agglomeration again")
        return cls(*(table[name].to_numpy() for name in COLUMNS), lowest=Fraction(*json.loads(lowest)))
