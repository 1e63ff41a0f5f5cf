"""Connected pieces of a mask, found block by block and joined across the faces between blocks, to know which are small.

A piece is a 6-connected set of voxels of one kind: set ones, or, for holes, others. Each block numbers its own; neighbours compare the planes
that lie against each other; pieces joined over any number of blocks have their voxels counted together (union-find, as for fragments).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
from scipy import ndimage

from axonloom.assembly.union_find import canonical_positions
from axonloom.durable import replacing


@dataclass(frozen=True)
class BlockPieces:
    """The pieces of one block.

    Attributes
    ----------
    voxels : int64 (n,)
        Of pieces 1 to n.
    low, high : one uint32 plane an axis
        Their numbers on the block's outermost planes; 0 is none.
    """

    voxels: np.ndarray
    low: tuple[np.ndarray, np.ndarray, np.ndarray]
    high: tuple[np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def of(cls, labels: np.ndarray, count: int) -> BlockPieces:
        """From what :func:`label_pieces` gave."""
        low = tuple(np.ascontiguousarray(np.take(labels, 0, axis)) for axis in range(3))
        high = tuple(np.ascontiguousarray(np.take(labels, -1, axis)) for axis in range(3))
        return cls(
            np.bincount(labels.ravel(), minlength=count + 1)[1:], (low[0], low[1], low[2]), (high[0], high[1], high[2])
        )

    def write(self, path: Path) -> None:
        planes = {f"{side}{axis}": getattr(self, side)[axis] for side in ("low", "high") for axis in range(3)}
        write_arrays(path, voxels=self.voxels, **planes)

    @classmethod
    def read(cls, path: Path) -> BlockPieces:
        found = read_arrays(path)
        return cls(found["voxels"], *((found[f"{s}0"], found[f"{s}1"], found[f"{s}2"]) for s in ("low", "high")))


def label_pieces(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """The 6-connected pieces of a bool array (z, y, x), numbered from 1 in the order of their first voxels (uint32), and how many."""
    labels = np.empty(mask.shape, np.uint32)
    # With ``output`` it returns the count alone, which its declarations do not say.
    return labels, int(cast(int, ndimage.label(mask, output=labels)))


def touching(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Pairs of pieces (n, 2) that lie against each other across a face, without repeats: a plane of the block below, and of the one above."""
    both = (lower != 0) & (upper != 0)
    return np.unique(np.stack([lower[both], upper[both]], axis=1), axis=0).astype(np.int64)


def small_pieces(
    voxels: Sequence[np.ndarray], joins: Sequence[tuple[int, int, np.ndarray]], minimum: int
) -> list[np.ndarray]:
    """Which pieces of each block have fewer than ``minimum`` voxels, those they are joined with counted in.

    Parameters
    ----------
    voxels : one int64 (n,) a block
    joins : (block below, block above, pairs (m, 2) of their piece numbers)

    Returns
    -------
    list of bool (n + 1,)
        By piece number; 0 (no piece) is False.
    """
    first = np.concatenate([[0], np.cumsum([len(each) for each in voxels])])
    pairs = [pair + first[[below, above]] - 1 for below, above, pair in joins]
    joined = np.concatenate([np.zeros((0, 2), np.int64), *pairs])
    roots = canonical_positions(int(first[-1]), joined[:, 0], joined[:, 1])
    total = np.zeros(int(first[-1]), np.int64)
    np.add.at(total, roots, np.concatenate([np.zeros(0, np.int64), *voxels]))
    small = total[roots] < minimum
    return [np.concatenate([[False], small[a:b]]) for a, b in pairwise(first)]


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """A small .npz file, whole or not at all."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        unfinished.write_bytes(content.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as found:
        return dict(found)
