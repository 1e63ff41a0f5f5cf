"""Union-find in which the smallest member stands for its set.

Galler and Fischer 1964, with path halving (Tarjan and van Leeuwen 1984). Linking the larger root below the smaller makes the
result a function of the sets alone, not of the order of the joins.
"""

from __future__ import annotations

import numpy as np

from axonloom.assembly.id_map import positions
from axonloom.kernel import kernel


@kernel
def find(parents: np.ndarray, i: int) -> int:
    """The smallest member of ``i``'s set; shortens the path on the way."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@kernel
def _roots(n: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    parents = np.arange(n)
    for k in range(len(a)):
        i, j = find(parents, a[k]), find(parents, b[k])
        if i < j:
            parents[j] = i
        elif j < i:
            parents[i] = j
    for i in range(n):
        parents[i] = parents[parents[i]]
    return parents


def canonical_positions(n: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """For members 0..n-1 joined pairwise (``a[k]`` with ``b[k]``, integers), the smallest member of each set: int64 (n,)."""
    return _roots(n, np.asarray(a, np.int64), np.asarray(b, np.int64))


def canonical_ids(ids: np.ndarray, joins: np.ndarray) -> np.ndarray:
    """For each id (uint64), the smallest id that it is joined with, directly or through others; see :func:`first_joined`."""
    return ids[first_joined(ids, joins)]


def first_joined(ids: np.ndarray, joins: np.ndarray) -> np.ndarray:
    """For each id, the position of the smallest id that it is joined with, directly or through others.

    Parameters
    ----------
    ids : uint64 (n,)
        Ascending, without repeats; any values.
    joins : uint64 (m, 2)
        Pairs that belong together, in any order.

    Returns
    -------
    int64 (n,)

    Raises
    ------
    UnknownIdError
        A join names an id that is not in ``ids``.
    """
    joins = np.asarray(joins, np.uint64).reshape(-1, 2)
    a = positions(ids, joins[:, 0], "the objects that are joined")
    b = positions(ids, joins[:, 1], "the objects that are joined")
    return canonical_positions(len(ids), a, b)
