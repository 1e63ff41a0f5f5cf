"""Scores at many thresholds from one pass over the voxels.

Segments are unions of fragments. So the counts of *fragments* against labels, taken once, give the counts of the segments at
any threshold by adding rows, exactly; only the small table is touched again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from axonloom.evaluation.contingency import ContingencyTable
from axonloom.evaluation.pairing import PredictedZero
from axonloom.evaluation.report import Scores, score

T = TypeVar("T")


def score_thresholds(
    fragments: ContingencyTable,
    thresholds: Iterable[T],
    segment_of: Callable[[T], Callable[[np.ndarray], np.ndarray]],
    predicted_zero: PredictedZero = "segment",
) -> dict[T, Scores]:
    """The scores of the segmentation at each threshold: those of its voxels, number for number.

    Parameters
    ----------
    fragments : ContingencyTable
        Fragments against labels.
    thresholds : iterable
        Of any type that ``segment_of`` takes; the result has their order.
    segment_of : function
        From a threshold to a function from fragment ids (uint64, ascending, without 0) to their segments, such as
        ``lambda t: segments_at(t).lookup`` with an :class:`~axonloom.assembly.id_map.IdMap`.
    predicted_zero : {"segment", "singletons", "drop"}

    Raises
    ------
    EvaluationError
        No labelled voxel to score.
    UnknownIdError
        A fragment that has no segment.
    """
    return {t: score(fragments.relabelled(segment_of(t)), predicted_zero) for t in thresholds}
