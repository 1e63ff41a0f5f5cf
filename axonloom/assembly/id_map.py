"""From one numbering of objects to another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from axonloom.assembly.tables import read_table, write_table

KIND = "axonloom id map"
FORMAT_VERSION = 1


class UnknownIdError(ValueError):
    """An id was looked up that its table does not hold."""


def positions(ids: np.ndarray, wanted: np.ndarray, what: str) -> np.ndarray:
    """Where each of ``wanted`` stands in the ascending array ``ids`` (int64).

    Parameters
    ----------
    ids, wanted : uint64 arrays
        ``ids`` ascending without repeats.
    what : str
        The name of the table, for the error.

    Raises
    ------
    UnknownIdError
        Names the first id that is missing.
    """
    found = np.searchsorted(ids, wanted)
    if len(ids) == 0:
        missing = np.ones(len(wanted), bool)
    else:
        missing = ids[np.minimum(found, len(ids) - 1)] != wanted
    if missing.any():
        raise UnknownIdError(
            f"id {wanted[missing][0]} is not in {what} ({len(ids)} ids): it was made from other fragments than these"
        )
    return found


@dataclass(frozen=True)
class IdMap:
    """``ids[i]`` becomes ``targets[i]``: uint64 arrays of one length, ``ids`` ascending without repeats."""

    ids: np.ndarray
    targets: np.ndarray

    def __post_init__(self) -> None:
        if self.ids.shape != self.targets.shape or self.ids.ndim != 1:
            raise ValueError(f"an id map needs two rows of one length, not {self.ids.shape} and {self.targets.shape}")

    def __len__(self) -> int:
        return len(self.ids)

    def lookup(self, wanted: np.ndarray) -> np.ndarray:
        """The targets of ``wanted``, in its shape.

        Raises
        ------
        UnknownIdError
            Names the first id that is missing.
        """
        flat = np.asarray(wanted, np.uint64).ravel()
        return self.targets[positions(self.ids, flat, "the id map")].reshape(np.shape(wanted))

    def write(self, path: Path) -> None:
        write_table(path, pa.table({"id": self.ids, "target": self.targets}), KIND, FORMAT_VERSION)

    @classmethod
    def read(cls, path: Path) -> IdMap:
        table = read_table(path, KIND, FORMAT_VERSION)
        return cls(table["id"].to_numpy(), table["target"].to_numpy())
