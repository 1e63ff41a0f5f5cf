"""How many voxels each object has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from axonloom.assembly.tables import read_table, write_table

KIND = "axonloom object table"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class ObjectTable:
    """Objects and their sizes: ``ids`` and ``voxels``, uint64 arrays of one length; ids ascending without repeats."""

    ids: np.ndarray
    voxels: np.ndarray

    def __post_init__(self) -> None:
        if self.ids.shape != self.voxels.shape or self.ids.ndim != 1:
            raise ValueError(
                f"an object table needs two rows of one length, not {self.ids.shape} and {self.voxels.shape}"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def concatenate(cls, tables: Sequence[ObjectTable]) -> ObjectTable:
        """All objects of several tables, ascending; sizes of an id that occurs more than once are added."""
        ids = np.concatenate([np.zeros(0, np.uint64), *(t.ids for t in tables)])
        voxels = np.concatenate([np.zeros(0, np.uint64), *(t.voxels for t in tables)])
        return cls.summed(ids, voxels)

    @classmethod
    def summed(cls, ids: np.ndarray, voxels: np.ndarray) -> ObjectTable:
        """Sizes added by id; ids in any order, with repeats."""
        order = np.argsort(ids, kind="stable")
        ids, voxels = ids[order], voxels[order]
        first = np.flatnonzero(np.concatenate([np.ones(min(1, len(ids)), bool), ids[1:] != ids[:-1]]))
        return cls(ids[first], np.add.reduceat(voxels, first) if len(first) else voxels)

    def write(self, path: Path) -> None:
        write_table(path, pa.table({"id": self.ids, "voxels": self.voxels}), KIND, FORMAT_VERSION)

    @classmethod
    def read(cls, path: Path) -> ObjectTable:
        table = read_table(path, KIND, FORMAT_VERSION)
        return cls(table["id"].to_numpy(), table["voxels"].to_numpy())
