"""Sets and counts of block numbers that stay small for a million blocks.

A Python set of a million numbers takes 60 MB and a dict of as many counts more; as arrays they take 1 and 4 MB, and questions
about all blocks at once are one numpy call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

import numpy as np


class BlockSet(Set[int]):
    """Block numbers as a mask; compares with, and combines into, ordinary sets.

    Attributes
    ----------
    mask : (n,) bool
        True at each member; numbers from ``n`` on are not members.
    """

    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask

    @classmethod
    def of(cls, blocks: Iterable[int]) -> BlockSet:
        """The set of some block numbers."""
        numbers = np.fromiter(blocks, np.int64)
        mask = np.zeros(int(numbers.max()) + 1 if numbers.size else 0, np.bool_)
        mask[numbers] = True
        return cls(mask)

    @classmethod
    def _from_iterable(cls, it: Iterable[int]) -> set[int]:  # type: ignore[override]
        # What set operations of collections.abc make: small things, mostly.
        return set(it)

    def __contains__(self, block: object) -> bool:
        return isinstance(block, int) and 0 <= block < self.mask.size and bool(self.mask[block])

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self.mask).tolist())

    def __len__(self) -> int:
        return int(np.count_nonzero(self.mask))

    def __bool__(self) -> bool:
        return bool(self.mask.any())

    def __repr__(self) -> str:
        return f"BlockSet({set(self)})"

    __hash__ = None  # type: ignore[assignment]

    def within(self, n: int) -> np.ndarray:
        """The mask for blocks ``0 .. n-1``, (n,) bool."""
        return fitted(self.mask, n)

    def missing(self, blocks: Iterable[int]) -> list[int]:
        """Those of ``blocks`` that are not members, in the order given."""
        numbers = np.asarray(blocks if isinstance(blocks, range) else list(blocks), np.int64)
        if numbers.size == 0:
            return []
        return numbers[~self.within(int(numbers.max()) + 1)[numbers]].tolist()


class BlockCounts(Mapping[int, int]):
    """How often something happened to each block; those to which it never did are not keys."""

    def __init__(self, counts: np.ndarray | None = None) -> None:
        self.counts = np.zeros(0, np.uint32) if counts is None else counts

    def add(self, block: int, times: int = 1) -> None:
        """Count ``times`` more for ``block``."""
        if block >= self.counts.size:
            self.counts = fitted(self.counts, max(1024, 2 * self.counts.size, block + 1))
        self.counts[block] += times

    def __getitem__(self, block: int) -> int:
        if not 0 <= block < self.counts.size or not self.counts[block]:
            raise KeyError(block)
        return int(self.counts[block])

    def get(self, block: int, default: Any = None) -> Any:
        return int(self.counts[block]) if 0 <= block < self.counts.size and self.counts[block] else default

    def __contains__(self, block: object) -> bool:
        return isinstance(block, int) and 0 <= block < self.counts.size and bool(self.counts[block])

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self.counts).tolist())

    def __len__(self) -> int:
        return int(np.count_nonzero(self.counts))

    def __repr__(self) -> str:
        return f"BlockCounts({dict(self)})"

    def within(self, n: int) -> np.ndarray:
        """The counts of blocks ``0 .. n-1``, (n,) uint32."""
        return fitted(self.counts, n)


def fitted(array: np.ndarray, n: int) -> np.ndarray:
    """The first ``n`` values, with zeros where there are fewer; a view where that is enough."""
    if array.size >= n:
        return array[:n]
    grown = np.zeros(n, array.dtype)
    grown[: array.size] = array
    return grown


def runs(blocks: Iterable[int]) -> list[list[int]]:
    """Sorted runs [first, last] of consecutive numbers: a million finished blocks are a few of them."""
    mask = blocks.mask if isinstance(blocks, BlockSet) else BlockSet.of(blocks).mask
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [[int(first), int(end) - 1] for first, end in edges.reshape(-1, 2)]


def shown(blocks: Iterable[int], most: int = 20) -> str:
    """Block numbers for a sentence: ``3, 17, 20-25 and 12 more``."""
    found = runs(blocks)
    text = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found[:most])
    left = sum(b - a + 1 for a, b in found[most:])
    return f"{text} and {left} more" if left else text
