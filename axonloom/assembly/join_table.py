"""Pairs of provisional fragments that are one fragment: what the faces between blocks found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from axonloom.assembly.tables import read_table, write_table

KIND = "axonloom joins"
FORMAT_VERSION = 2


@dataclass(frozen=True)
class JoinTable:
    """One row a pair at each kind of face.

    Attributes
    ----------
    pairs : uint64 (n, 2)
    axis : uint8 (n,)
        The axis (0 = z) that the face stands across.
    """

    pairs: np.ndarray
    axis: np.ndarray

    def __len__(self) -> int:
        return len(self.pairs)

    @classmethod
    def concatenate(cls, tables: Sequence[JoinTable]) -> JoinTable:
        return cls(
            np.concatenate([np.empty((0, 2), np.uint64), *(t.pairs for t in tables)]),
            np.concatenate([np.empty(0, np.uint8), *(t.axis for t in tables)]),
        )

    def across(self, axes: Sequence[int]) -> JoinTable:
        """The rows of faces across some axes."""
        kept = np.isin(self.axis, axes)
        return JoinTable(self.pairs[kept], self.axis[kept])

    def write(self, path: Path) -> None:
        table = pa.table({"a": self.pairs[:, 0], "b": self.pairs[:, 1], "axis": self.axis})
        write_table(path, table, KIND, FORMAT_VERSION)

    @classmethod
    def read(cls, path: Path) -> JoinTable:
        """Read what :meth:`write` wrote; raises TableError when the file is damaged or of a newer format."""
        table = read_table(path, KIND, FORMAT_VERSION, ("a", "b", "axis"))
        return cls(np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1), table["axis"].to_numpy())
