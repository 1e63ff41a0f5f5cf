"""Tables of many blocks added up to one, with a few times that one in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Sized
from typing import TypeVar

Table = TypeVar("Table", bound=Sized)

#: Rows that may wait before they are added up, however small the sum is.
LEAST = 1_000_000


def gathered(tables: Iterable[Table], add: Callable[[Sequence[Table]], Table]) -> Table:
    """The sum of all tables, by ``add``, which takes some of them or none.

    They are added up whenever as many rows wait as the sum has: each row is sorted a few times, not once for each block, and at
    most twice the sum's rows go into ``add``.
    """
    total, waiting, rows = add([]), [], 0
    for table in tables:
        waiting.append(table)
        rows += len(table)
        if rows > max(len(total), LEAST):
            total, waiting, rows = add([total, *waiting]), [], 0
    return add([total, *waiting]) if waiting else total
