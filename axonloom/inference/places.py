"""Where a window stands in a batch: a matter of the volume, not of the block that needs it.

Where a window stands can change the last bit of its result (vector tails and thread shares fall elsewhere), so its place must not
depend on which other windows a block happens to need. It is a linear function of the window's lattice number. Places that no
window of a block has stay empty and are computed for nothing, so the function has to spread any box of windows evenly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product

from axonloom.geometry import Zyx

#: Batch -> (a, b) of the place (a z + b y + x) modulo the batch; a batch in between has those of the next smaller one. Found by trying
#: all on boxes of 4 to 17 windows along each axis: with 1, 1 instead, 17 x 17 x 17 windows fill 35 % of the places of batches of 64.
_STEPS = {1: (1, 1), 8: (1, 3), 16: (3, 7), 32: (9, 13), 64: (6, 25)}


def place_of(index: Zyx, batch: int) -> int:
    """The place of the window with lattice number ``index`` (z, y, x): 0 to ``batch`` - 1."""
    a, b = _STEPS[max(size for size in _STEPS if size <= batch)]
    z, y, x = index
    return (a * z + b * y + x) % batch


def in_fixed_places(indices: Iterable[Zyx], batch: int) -> list[list[Zyx | None]]:
    """Windows gathered into batches of ``batch`` places each; None where a place is empty."""
    queues: list[list[Zyx]] = [[] for _ in range(batch)]
    for index in indices:
        queues[place_of(index, batch)].append(index)
    return [[q[i] if i < len(q) else None for q in queues] for i in range(max(map(len, queues), default=0))]


def share_filled(windows: Sequence[int], batch: int) -> float:
    """Which share (0..1) of the places a box of so many windows (z, y, x) fills."""
    counts = Counter(place_of((z, y, x), batch) for z, y, x in product(*map(range, windows)))
    return sum(counts.values()) / (batch * max(counts.values()))
