"""One block as waterz's users segment it: watershed and agglomeration, of the whole block or section by section first."""

from __future__ import annotations

import numpy as np

from axonloom.assembly.thresholds import Threshold
from axonloom.segmentation.waterz_backend import waterz_segmentations


def waterz_block(
    affinities: np.ndarray,
    threshold: Threshold,
    score: str,
    low: Threshold,
    high: Threshold,
    per_section: bool = False,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """The segmentation of a block by waterz alone.

    Parameters
    ----------
    affinities : uint8 (3, z, y, x)
        Channel c is the edge between a voxel and the one before it on axis c; the first plane of axis c is not looked at.
    threshold, score, low, high
        As :func:`~axonloom.segmentation.waterz_backend.waterz_segmentations` takes them.
    per_section : bool
        Cut each section (z) into fragments by itself; they are agglomerated in 3-D.
    mask : bool (z, y, x), optional
        Edges of voxels that are False are 0, and these voxels are background.

    Returns
    -------
    uint64 (z, y, x)
        Labels 1..n, 0 is background.

    Raises
    ------
    ValueError
        As :func:`~axonloom.segmentation.waterz_backend.waterz_segmentations`.
    """
    edges = affinities.copy()
    for axis in range(3):
        first = [slice(None)] * 3
        first[axis] = slice(0, 1)
        edges[(axis, *first)] = 0
    if mask is not None:
        _cut_off(edges, mask)
    fragments = section_fragments(edges, low, high) if per_section else None
    labels = waterz_segmentations(edges, [threshold], score, low, high, fragments)[0]
    if mask is not None:
        labels[~mask] = 0
    return labels


def section_fragments(affinities: np.ndarray, low: Threshold, high: Threshold) -> np.ndarray:
    """waterz's watershed of each section by itself: uint64 (z, y, x), ids 1..n over all sections, 0 is background."""
    out = np.zeros(affinities.shape[1:], np.uint64)
    n = 0
    for z in range(len(out)):
        # Down to an affinity of 1 nothing is merged that the watershed had not joined.
        section = waterz_segmentations(affinities[:, z : z + 1], ["1"], low=low, high=high)[0][0]
        out[z] = np.where(section > 0, section + np.uint64(n), 0)
        n += int(section.max())
    return out


def _cut_off(edges: np.ndarray, mask: np.ndarray) -> None:
    """Make the edges of masked voxels 0, in place."""
    for axis in range(3):
        edges[axis][~mask] = 0
        after = [slice(None)] * 3
        before = [slice(None)] * 3
        after[axis], before[axis] = slice(1, None), slice(None, -1)
        edges[(axis, *after)][~mask[tuple(before)]] = 0
