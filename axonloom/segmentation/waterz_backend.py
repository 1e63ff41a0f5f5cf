"""waterz (Funke et al. 2019) behind a safe door: the segmentation that users of other pipelines know, and a peer to compare with.

waterz changes the fragments it is given, hands out one array again and again, numbers with gaps, takes memory by the largest
id, accepts NaN in silence and prints to standard output. Nothing of that comes through here. It sees one block at a time and
knows no neighbours; it holds Python's lock while it runs, so several at once need several processes.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

import numpy as np
import waterz

from axonloom.assembly.lookup_table import LookupTable, relabel
from axonloom.assembly.thresholds import Threshold, threshold_fraction
from axonloom.kernel import kernel

_REGION = "RegionGraphType"
SCORES = {
    "mean": f"OneMinus<MeanAffinity<{_REGION}, ScoreValue>>",
    **{
        f"aff{q}_his256": f"OneMinus<HistogramQuantileAffinity<{_REGION}, {q}, ScoreValue, 256>>"
        for q in (10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95)
    },
}
"""Scoring functions that the published wheels carry compiled, by the names that waterz's users give them."""
QUEUES = (0, 256)

_one_at_a_time = threading.Lock()


def waterz_segmentations(
    affinities: np.ndarray,
    thresholds: Sequence[Threshold],
    score: str = "mean",
    low: Threshold = "0.05",
    high: Threshold = "0.99",
    fragments: np.ndarray | None = None,
    queue: int = 0,
) -> list[np.ndarray]:
    """Watershed, region graph and agglomeration of one block by waterz.

    Parameters
    ----------
    affinities : uint8 (0..255) or float32 (0..1), (3, z, y, x)
        Channel c is the edge between a voxel and the one before it on axis c.
    thresholds : decimals of 0..1
        Affinities down to which regions are merged; waterz's own threshold is 1 minus that.
    score : str
        One of :data:`SCORES`: the mean affinity, or a quantile of a 256-bin histogram.
    low, high : decimals of 0..1
        Thresholds of waterz's watershed; of no effect when ``fragments`` are given.
    fragments : integers (z, y, x), optional
        Start from these instead; any ids, left unchanged.
    queue : 0 or 256
        Exact queue, or bins of scores (faster, merges within a bin in no order).

    Returns
    -------
    list of uint64 (z, y, x)
        One segmentation a threshold, in the order given; ids 1..n in the order of first appearance, 0 is background.

    Raises
    ------
    ValueError
        Arrays that do not fit together, NaN, or a score or queue that the wheels do not carry.
    """
    if score not in SCORES or queue not in QUEUES:
        raise ValueError(
            f"waterz comes with the scores {', '.join(SCORES)} and queues of 0 or 256 bins, not {score!r} with {queue}"
        )
    values = _as_float(affinities)
    scores = [float(1 - threshold_fraction(t)) for t in thresholds]
    start = None if fragments is None else _as_fragments(fragments, values.shape[1:])
    found: dict[float, np.ndarray] = {}
    with _quiet_stdout():
        segmentations = waterz.agglomerate(
            values,
            sorted(set(scores)),
            fragments=start,
            aff_threshold_low=float(threshold_fraction(low)),
            aff_threshold_high=float(threshold_fraction(high)),
            scoring_function=SCORES[score],
            discretize_queue=queue,
        )
        for threshold, segmentation in zip(sorted(set(scores)), segmentations, strict=True):
            found[threshold] = _numbered(np.asarray(segmentation).ravel()).reshape(values.shape[1:])
    return [found[t] for t in scores]


def _as_float(affinities: np.ndarray) -> np.ndarray:
    if affinities.ndim != 4 or affinities.shape[0] != 3 or affinities.size == 0:
        raise ValueError(f"waterz takes affinities of shape (3, z, y, x), not {affinities.shape}")
    if affinities.dtype == np.uint8:
        return affinities.astype(np.float32) / np.float32(255)
    if affinities.dtype != np.float32:
        raise ValueError(f"waterz takes affinities as uint8 or float32, not {affinities.dtype}")
    if not np.isfinite(affinities).all():
        raise ValueError("the affinities hold NaN or infinity: waterz would take them in silence")
    return np.ascontiguousarray(affinities)


def _as_fragments(fragments: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A copy with ids 1..n, for waterz's memory grows with the largest id."""
    if fragments.shape != shape or not np.issubdtype(fragments.dtype, np.integer) or fragments.min() < 0:
        raise ValueError(
            f"fragments are integers of 0 and up of shape {shape}, not {fragments.dtype} {fragments.shape}"
        )
    ids = np.unique(fragments.astype(np.uint64))
    ids = ids[ids != 0]
    numbers = np.arange(1, len(ids) + 1, dtype=np.uint64)
    return relabel(fragments, LookupTable(ids, numbers, len(ids)))


@kernel
def _numbered(labels):
    """The labels numbered 1..n in the order in which they first appear."""
    numbers = np.zeros(labels.max() + np.uint64(1), np.uint64)
    out = np.zeros(len(labels), np.uint64)
    n = 0
    for i in range(len(labels)):
        label = labels[i]
        if label != np.uint64(0):
            if numbers[label] == np.uint64(0):
                n += 1
                numbers[label] = np.uint64(n)
            out[i] = numbers[label]
    return out


@contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Turn standard output away while waterz runs, which writes to it from Python and from C++; one caller at a time."""
    c = ctypes.CDLL(None)
    with _one_at_a_time, open(os.devnull, "w") as nowhere:
        sys.stdout.flush()
        c.fflush(None)
        kept = os.dup(1)
        try:
            os.dup2(nowhere.fileno(), 1)
            with redirect_stdout(nowhere):
                yield
        finally:
            c.fflush(None)
            os.dup2(kept, 1)
            os.close(kept)
