"""Which fragments reach the outer faces of a part of the volume, and so may go on outside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from axonloom.assembly.faces import BlockFaces
from axonloom.assembly.id_map import IdMap, distinct
from axonloom.assembly.tables import read_table, write_table

KIND = "axonloom open faces"
FORMAT_VERSION = 1
COLUMNS = ("side", "id", "now")


def side(axis: int, high: bool) -> int:
    """The number of a side: 0 to 5 for low z, high z, low y, high y, low x, high x."""
    return 2 * axis + high


@dataclass(frozen=True)
class OpenFaces:
    """One row for each fragment at each side of a part; no side lies at the edge of the volume.

    Attributes
    ----------
    side : uint8
        See :func:`side`.
    id : uint64
        The fragment as the blocks wrote it to their faces.
    now : uint64
        What it has become part of within the part.
    """

    side: np.ndarray
    id: np.ndarray
    now: np.ndarray

    @classmethod
    def of_block(cls, faces: BlockFaces) -> OpenFaces:
        found = [
            (side(axis, high), distinct(face.labels[face.labels != 0]))
            for high, sides in ((False, faces.low), (True, faces.high))
            for axis, face in enumerate(sides)
            if face is not None
        ]
        sides = [np.full(len(ids), number, np.uint8) for number, ids in found]
        ids = np.concatenate([np.zeros(0, np.uint64), *(ids for _, ids in found)])
        return cls(np.concatenate([np.zeros(0, np.uint8), *sides]), ids, ids)

    @classmethod
    def concatenate(cls, tables: Sequence[OpenFaces]) -> OpenFaces:
        empty = cls(np.zeros(0, np.uint8), np.zeros(0, np.uint64), np.zeros(0, np.uint64))
        return cls(*(np.concatenate([getattr(t, name) for t in (empty, *tables)]) for name in COLUMNS))

    def ids(self) -> np.ndarray:
        """What now reaches a side (uint64, ascending)."""
        return distinct(self.now)

    def names(self) -> IdMap:
        """From the ids that blocks wrote to what they are now."""
        ids, first = np.unique(self.id, return_index=True)
        return IdMap(ids, self.now[first])

    def at(self, sides: Sequence[int]) -> OpenFaces:
        """The rows of some sides."""
        kept = np.isin(self.side, sides)
        return OpenFaces(*(getattr(self, name)[kept] for name in COLUMNS))

    def renamed(self, becomes: IdMap) -> OpenFaces:
        """The rows after what they are now has become part of something else."""
        return OpenFaces(self.side, self.id, becomes.lookup(self.now))

    def write(self, path: Path) -> None:
        write_table(path, pa.table({name: getattr(self, name) for name in COLUMNS}), KIND, FORMAT_VERSION)

    @classmethod
    def read(cls, path: Path) -> OpenFaces:
        """Read what :meth:`write` wrote; raises TableError when the file is damaged or of a newer format."""
        table = read_table(path, KIND, FORMAT_VERSION, COLUMNS)
        return cls(*(table[name].to_numpy() for name in COLUMNS))
