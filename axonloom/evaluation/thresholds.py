"""Scores at many thresholds from one pass over the voxels.

Segments are unions of fragments. So the counts of *fragments* against labels, taken once, give the counts of the segments at
any threshold by adding rows, exactly; only the small table is touched again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from axonloom.evaluation.contingency import ContingencyTable, EvaluationError
from axonloom.evaluation.pairing import PredictedZero
from axonloom.evaluation.report import Scores, score

SegmentOf = Callable[[np.ndarray], np.ndarray]
T = TypeVar("T")


def lookup(ids: np.ndarray, segments: np.ndarray) -> SegmentOf:
    """The function that gives ``segments[i]`` for ``ids[i]``.

    Parameters
    ----------
    ids : integers (n,)
        Fragment ids, ascending.
    segments : integers (n,)
        The segment of each.

    Returns
    -------
    function
        Integers (m,) to segments (m,); raises EvaluationError for an id that is not in ``ids``.
    """
    if len(ids) != len(segments):
        raise ValueError(f"{len(ids)} ids do not go with {len(segments)} segments")
    if np.any(ids[1:] <= ids[:-1]):
        raise ValueError("the ids of a lookup are ascending, each once")

    def segment_of(wanted: np.ndarray) -> np.ndarray:
        at = np.searchsorted(ids, wanted)
        known = at < len(ids)
        known[known] = ids[at[known]] == wanted[known]
        if not known.all():
            raise EvaluationError(
                f"fragment {wanted[~known][0]} was counted against the labels but is not in the merge table: both must come "
                "from the same fragments"
            )
        return segments[at]

    return segment_of


def score_thresholds(
    fragments: ContingencyTable,
    thresholds: Iterable[T],
    segment_of: Callable[[T], SegmentOf],
    predicted_zero: PredictedZero = "segment",
) -> list[tuple[T, Scores]]:
    """The scores of the segmentation at each threshold: those of its voxels, number for number.

    Parameters
    ----------
    fragments : ContingencyTable
        Fragments against labels.
    thresholds : iterable
        In the order in which the scores are wanted; of any type that ``segment_of`` takes.
    segment_of : function
        From a threshold to a function from fragment ids (uint64, ascending, without 0) to their segments, such as
        ``lambda t: lookup(ids, pool(ids, dendrogram, t))``.
    predicted_zero : {"segment", "singletons", "drop"}

    Raises
    ------
    EvaluationError
        No labelled voxel to score, or a fragment that has no segment.
    """
    return [(t, score(fragments.relabelled(segment_of(t)), predicted_zero)) for t in thresholds]
