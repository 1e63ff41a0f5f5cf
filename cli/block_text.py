"""The map of a stage's blocks in characters."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Sequence

import numpy as np

from axonloom.stage_status import DONE, FAILED, MISSING, RUNNING

#: A cell whose blocks are partly done.
PART = 4
_UNICODE = {MISSING: "·", PART: "▒", DONE: "█", RUNNING: "▶", FAILED: "✖"}
_ASCII = {MISSING: ".", PART: "+", DONE: "#", RUNNING: ">", FAILED: "X"}
_COLOURS = {MISSING: "dim", PART: "green", DONE: "green", RUNNING: "blue", FAILED: "bold red"}
_NAMES = {DONE: "done", PART: "partly done", RUNNING: "running", FAILED: "failed", MISSING: "missing"}
#: Columns and rows of the largest map.
WIDTH, HEIGHT = 76, 12


def symbols() -> dict[int, str]:
    """Characters for the states: plain ones where the terminal shows no others, or colours are switched off (NO_COLOR)."""
    encoding = (getattr(sys.stdout, "encoding", None) or "ascii").lower().replace("-", "")
    if os.environ.get("NO_COLOR") or not encoding.startswith("utf"):
        return _ASCII
    return _UNICODE


def block_lines(states: np.ndarray, signs: dict[int, str], coloured: bool) -> list[str]:
    """The layers of z side by side, a character a block or, where there are more blocks than room, a few blocks.

    Parameters
    ----------
    states : (z, y, x) uint8
    signs : characters by state, as :func:`symbols` gives them
    coloured : with Rich's markup

    A cell with a failed block shows that, else one with a running block shows that: nothing that needs a look is hidden.
    """
    cells = _reduced(states)
    depth, height, width = cells.shape
    columns = max(1, min(depth, WIDTH // (width + 1)))
    lines = []
    for first in range(0, depth, columns):
        for y in range(height):
            lines.append(
                " ".join(_row(cells[z, y], signs, coloured) for z in range(first, min(first + columns, depth)))
            )
        lines.append("")
    return lines[:-1]


def legend(signs: dict[int, str]) -> str:
    """What the characters mean."""
    return "  ".join(f"{signs[state]} {name}" for state, name in _NAMES.items())


def _reduced(states: np.ndarray) -> np.ndarray:
    cells = states
    done, some = states == DONE, states == DONE
    urgent = np.where(states == FAILED, 2, np.where(states == RUNNING, 1, 0))
    while not _fits(cells.shape):
        _, height, width = cells.shape
        # Layers are halved last: they tell the parts of a volume apart.
        axis = int(np.argmax((0, height, width))) if max(height, width) > 8 else int(np.argmax(cells.shape))
        starts = np.arange(0, cells.shape[axis], 2)
        done = np.logical_and.reduceat(done, starts, axis=axis)
        some = np.logical_or.reduceat(some, starts, axis=axis)
        urgent = np.maximum.reduceat(urgent, starts, axis=axis)
        cells = done
    shown = np.where(some, PART, MISSING)
    shown[done] = DONE
    shown[urgent == 1] = RUNNING
    shown[urgent == 2] = FAILED
    return shown


def _fits(shape: Sequence[int]) -> bool:
    depth, height, width = shape
    if width > WIDTH:
        return False
    columns = max(1, WIDTH // (width + 1))
    return -(-depth // columns) * (height + 1) <= HEIGHT + 1


def _row(cells: np.ndarray, signs: dict[int, str], coloured: bool) -> str:
    if not coloured:
        return "".join(signs[int(c)] for c in cells)
    edges = [0, *(np.flatnonzero(np.diff(cells)) + 1).tolist(), len(cells)]
    return "".join(
        f"[{_COLOURS[int(cells[a])]}]{signs[int(cells[a])] * (b - a)}[/]" for a, b in itertools.pairwise(edges)
    )
