"""By how much objects grew, and when: what the size of an object was at each moment of absorption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from axonloom.assembly.tables import read_table, write_table

KIND = "axonloom growth table"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class GrowthTable:
    """Voxels that objects did not have from the start: three uint64 arrays of one length.

    Attributes
    ----------
    ids : uint64
        The objects; as many rows each as there were moments.
    since : uint64
        The contact over which the voxels came, as ``best`` of an :class:`~axonloom.assembly.edge_table.EdgeTable`: absorption goes
        through contacts from the strongest, the smallest of these numbers, so this is the moment.
    voxels : uint64
        How many came then. They count in the object's whole size, too.
    """

    ids: np.ndarray
    since: np.ndarray
    voxels: np.ndarray

    def __post_init__(self) -> None:
        if not self.ids.shape == self.since.shape == self.voxels.shape or self.ids.ndim != 1:
            shapes = self.ids.shape, self.since.shape, self.voxels.shape
            raise ValueError(f"a growth table needs three rows of one length, not {shapes}")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def concatenate(cls, tables: Sequence[GrowthTable]) -> GrowthTable:
        """All rows of several tables, one after another."""
        nothing = np.zeros(0, np.uint64)
        return cls(*(np.concatenate([nothing, *(getattr(t, n) for t in tables)]) for n in ("ids", "since", "voxels")))

    @classmethod
    def empty(cls) -> GrowthTable:
        return cls.concatenate([])

    def named(self, ids: np.ndarray) -> GrowthTable:
        """The rows with ids in place of positions in them."""
        return replace(self, ids=ids[self.ids])

    def write(self, path: Path) -> None:
        table = pa.table({"id": self.ids, "since": self.since, "voxels": self.voxels})
        write_table(path, table, KIND, FORMAT_VERSION)

    @classmethod
    def read(cls, path: Path) -> GrowthTable:
        """Read what :meth:`write` wrote; raises TableError when the file is damaged or of a newer format."""
        table = read_table(path, KIND, FORMAT_VERSION)
        return cls(*(table[name].to_numpy() for name in ("id", "since", "voxels")))
