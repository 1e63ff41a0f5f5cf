"""Variation of information (Meila 2007), in bits, as its two halves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from axonloom.evaluation.contingency import ContingencyTable
from axonloom.evaluation.pairing import PredictedZero, ScoredPairs, scored_pairs


class Voi(NamedTuple):
    """Two conditional entropies in bits, both 0 at best.

    Attributes
    ----------
    split : float
        H(segmentation | labels): rises where one object is in several segments.
    merge : float
        H(labels | segmentation): rises where one segment holds several objects.
    """

    split: float
    merge: float


def voi(table: ContingencyTable, predicted_zero: PredictedZero = "segment") -> Voi:
    """Variation of information with label 0 ignored.

    With ``predicted_zero="segment"`` it is ``skimage.metrics.variation_of_information(labels, segmentation,
    ignore_labels=(0,))``, PyTC's ``voi`` and waterz' ``V_Info_split`` and ``V_Info_merge``.

    Raises
    ------
    EvaluationError
        No labelled voxel to score.
    """
    return voi_of(scored_pairs(table, predicted_zero))


def voi_of(pairs: ScoredPairs) -> Voi:
    """The same of pairs already picked."""
    # Each term is >= 0, so nothing cancels and a perfect score is exactly 0.
    split = float(np.sum(pairs.counts * np.log2(pairs.of_label / pairs.counts)))
    split += float(np.sum(pairs.singletons * np.log2(pairs.singleton_labels)))
    merge = float(np.sum(pairs.counts * np.log2(pairs.of_segment / pairs.counts)))
    return Voi(split / pairs.voxels, merge / pairs.voxels)
