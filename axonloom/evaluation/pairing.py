"""What the scores share: the pairs that count, and what a predicted 0 means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from axonloom.evaluation.contingency import ContingencyTable, EvaluationError

PredictedZero = Literal["segment", "singletons", "drop"]


@dataclass(frozen=True)
class ScoredPairs:
    """The part of a contingency table that is scored, with its margins. Label 0 is left out.

    Attributes
    ----------
    counts : int64 (n,)
        Voxels of each pair of a segment and a label.
    of_segment, of_label : int64 (n,)
        Voxels of that pair's segment and of its label, among those scored.
    segment_sizes, label_sizes : int64
        Voxels of each segment and of each label, once each. ``segment_sizes`` lacks singletons.
    singletons : int64 (m,), singleton_labels : int64 (m,)
        Voxels that are segments of their own, by label: how many, and how many voxels the label has.
    voxels : int
        All of them.
    """

    counts: np.ndarray
    of_segment: np.ndarray
    of_label: np.ndarray
    segment_sizes: np.ndarray
    label_sizes: np.ndarray
    singletons: np.ndarray
    singleton_labels: np.ndarray
    voxels: int


def scored_pairs(table: ContingencyTable, predicted_zero: PredictedZero = "segment") -> ScoredPairs:
    """The pairs with a label other than 0.

    Parameters
    ----------
    table : ContingencyTable
    predicted_zero : {"segment", "singletons", "drop"}
        Labelled voxels in segment 0 are one more segment, each a segment of its own, or not scored.

    Raises
    ------
    EvaluationError
        Nothing is left to score.
    """
    if predicted_zero not in get_args(PredictedZero):
        raise EvaluationError(f"predicted_zero is one of {', '.join(get_args(PredictedZero))}, not {predicted_zero!r}")
    table = table.without_label_zero()
    if len(table) == 0:
        raise EvaluationError(
            "the labels hold no object where the segmentation is: every voxel there is 0 (background)"
        )
    zero = table.segments == 0
    if predicted_zero == "drop":
        table, zero = table.where(~zero), np.zeros(int((~zero).sum()), bool)
        if len(table) == 0:
            raise EvaluationError(
                "the segmentation is 0 (background) wherever there are labels, and predicted_zero 'drop' leaves nothing to "
                "score; use 'segment' or 'singletons'"
            )
    elif predicted_zero == "segment":
        zero = np.zeros(len(table), bool)
    labels, label = np.unique(table.labels, return_inverse=True)
    label_sizes = np.zeros(len(labels), np.int64)
    np.add.at(label_sizes, label, table.counts)
    of_label = label_sizes[label]
    counts, segments = table.counts[~zero], table.segments[~zero]
    starts = np.flatnonzero(np.append(True, segments[1:] != segments[:-1])) if len(segments) else np.empty(0, np.int64)
    segment_sizes = np.add.reduceat(counts, starts) if len(segments) else np.empty(0, np.int64)
    return ScoredPairs(
        counts=counts,
        of_segment=np.repeat(segment_sizes, np.diff(np.append(starts, len(segments)))),
        of_label=of_label[~zero],
        segment_sizes=segment_sizes,
        label_sizes=label_sizes,
        singletons=table.counts[zero],
        singleton_labels=of_label[zero],
        voxels=int(table.counts.sum()),
    )
