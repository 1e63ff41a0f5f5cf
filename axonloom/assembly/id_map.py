"""From one numbering of objects to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from axonloom.assembly.tables import read_table, write_table
from axonloom.kernel import kernel

KIND = "axonloom id map"
FORMAT_VERSION = 1
MISSING = -1


class UnknownIdError(ValueError):
    """An id was looked up that its table does not hold."""


def distinct(*arrays: np.ndarray) -> np.ndarray:
    """The ids in some arrays, ascending without repeats; by sorting, which beats numpy's hashing here five times."""
    ids = np.sort(np.concatenate(arrays))
    return ids[np.concatenate([ids[:1] == ids[:1], ids[1:] != ids[:-1]])]


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
    if len(wanted) * 8 < len(ids):
        found = np.searchsorted(ids, wanted)
        found[ids[np.minimum(found, len(ids) - 1)] != wanted] = MISSING
    else:
        # As many buckets as ids, of one width.
        width = max(0, (int(ids[-1]) // len(ids)).bit_length() - 1) if len(ids) else 0
        found = _positions(ids, wanted, _starts(ids, np.uint64(width)), np.uint64(width))
    if len(found) and found.min() == MISSING:
        raise UnknownIdError(
            f"id {wanted[np.argmin(found)]} is not in {what} ({len(ids)} ids): it was made from other fragments than these"
        )
    return found


@kernel
def _starts(ids, width):
    """Where the ids of each bucket begin: id >> width is the number of its bucket."""
    buckets = np.int64(ids[-1] >> width) + 1 if len(ids) else 0
    starts = np.zeros(buckets + 1, np.int64)
    for i in range(len(ids)):
        starts[np.int64(ids[i] >> width) + 1] = i + 1
    for k in range(buckets):
        starts[k + 1] = max(starts[k + 1], starts[k])
    return starts


@kernel
def _positions(ids, wanted, starts, width):
    """Binary searches within the buckets: in ids spread evenly, of a few ids each."""
    found = np.empty(len(wanted), np.int64)
    for i in range(len(wanted)):
        found[i] = MISSING
        if len(ids) == 0 or wanted[i] > ids[-1]:
            continue
        bucket = np.int64(wanted[i] >> width)
        low, high = starts[bucket], starts[bucket + 1]
        while low < high:
            middle = (low + high) // 2
            if ids[middle] < wanted[i]:
                low = middle + 1
            else:
                high = middle
        if low < starts[bucket + 1] and ids[low] == wanted[i]:
            found[i] = low
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

    @classmethod
    def concatenate(cls, maps: Sequence[IdMap]) -> IdMap:
        """All rows of several maps of which no two hold one id."""
        ids = np.concatenate([np.zeros(0, np.uint64), *(m.ids for m in maps)])
        order = np.argsort(ids, kind="stable")
        return cls(ids[order], np.concatenate([np.zeros(0, np.uint64), *(m.targets for m in maps)])[order])

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
