"""The adapted Rand error of the SNEMI3D challenge (Arganda-Carreras et al. 2015) and its relatives.

All count pairs of voxels: those together in the segmentation and in the labels, over those together in the segmentation
(*precision*, low where objects are merged) and over those together in the labels (*recall*, low where objects are split).
They differ in small print that can matter for small objects, so each convention is a function with its own name.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from axonloom.evaluation.contingency import ContingencyTable
from axonloom.evaluation.pairing import PredictedZero, ScoredPairs, scored_pairs


class AdaptedRand(NamedTuple):
    """``error`` is 1 minus the harmonic mean of ``precision`` (low: merges) and ``recall`` (low: splits); 0..1."""

    error: float
    precision: float
    recall: float


def adapted_rand(table: ContingencyTable, predicted_zero: PredictedZero = "segment") -> AdaptedRand:
    """Adapted Rand error over pairs of two different voxels, label 0 ignored.

    With ``predicted_zero="segment"`` the error is that of ``skimage.metrics.adapted_rand_error(labels, segmentation,
    ignore_labels=(0,))``. scikit-image (0.26) returns the two other numbers exchanged against its own documentation; here
    precision is the one that suffers from merges, as in its text, in PyTC and in the paper.

    Where no two voxels are together on one side there is nothing to get wrong, and precision or recall is 1.

    Raises
    ------
    EvaluationError
        No labelled voxel to score.
    """
    return adapted_rand_of(scored_pairs(table, predicted_zero))


def adapted_rand_of(pairs: ScoredPairs) -> AdaptedRand:
    """The same of pairs already picked."""
    return _scores(*(_pairs_within(n) for n in (pairs.counts, pairs.segment_sizes, pairs.label_sizes)))


def snemi_adapted_rand(table: ContingencyTable) -> AdaptedRand:
    """The formula of the challenge's script, as PyTC's ``adapted_rand`` computes it, for comparison with such numbers.

    It counts each voxel as a pair with itself, and lets the labelled voxels in segment 0 (``c`` of ``n`` voxels, ``n``
    including label 0) add ``c / n`` to the pairs of both.

    Raises
    ------
    EvaluationError
        No labelled voxel to score.
    """
    scored = scored_pairs(table, "segment")
    labelled = table.without_label_zero()
    zero = labelled.segments == 0
    extra = float(labelled.counts[zero].sum()) / table.voxels
    together = _squares(labelled.counts[~zero]) + extra
    in_segments = together if zero.all() else _squares(scored_pairs(table, "drop").segment_sizes) + extra
    return _scores(together, in_segments, _squares(scored.label_sizes))


def rand_split_merge(table: ContingencyTable) -> tuple[float, float]:
    """waterz' ``V_Rand_split`` and ``V_Rand_merge``: recall and precision with each voxel also a pair with itself.

    Segment 0 counts as a segment, label 0 is ignored; 1 at best.

    Raises
    ------
    EvaluationError
        No labelled voxel to score.
    """
    pairs = scored_pairs(table, "segment")
    together = _squares(pairs.counts)
    return together / _squares(pairs.label_sizes), together / _squares(pairs.segment_sizes)


def _squares(sizes: np.ndarray) -> float:
    """Sum of n^2; in floating point because it passes 64 bits from 2^32 voxels on."""
    return float(np.sum(np.square(sizes.astype(np.float64))))


def _pairs_within(sizes: np.ndarray) -> float:
    """Ordered pairs of different voxels within groups of these sizes: the sum of n (n - 1)."""
    wide = sizes.astype(np.float64)
    return float(np.sum(wide * (wide - 1)))


def _scores(together: float, in_segments: float, in_labels: float) -> AdaptedRand:
    precision = together / in_segments if in_segments else 1.0
    recall = together / in_labels if in_labels else 1.0
    both = in_segments + in_labels
    return AdaptedRand(1 - 2 * together / both if both else 0.0, precision, recall)
