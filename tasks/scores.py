"""The scores of a chain as an artifact."""

from __future__ import annotations

from typing import Any

from axonloom.chain import Chain
from axonloom.evaluation.report import Scores
from axonloom.stages.scores import ChainScores
from tasks.artifacts import show_table


def show_scores(chain: Chain, scores: ChainScores) -> None:
    """A table of all thresholds."""
    show_table(
        chain.contingency,
        "scores",
        [
            _row("nothing merged", scores.fragments),
            *(_row(str(threshold), each) for threshold, each in scores.at.items()),
            *([_row("blocks joined", scores.segmentation)] if scores.threshold is None else []),
        ],
        f"VOI in bits, label 0 ignored, predicted 0 as {chain.configuration.evaluate.predicted_zero}"
        + ("" if scores.threshold is None else f"; the segmentation is that of threshold {scores.threshold}"),
    )


def _row(threshold: str, scores: Scores) -> dict[str, Any]:
    return {
        "threshold": threshold,
        "VOI split": round(scores.voi_split, 4),
        "VOI merge": round(scores.voi_merge, 4),
        "VOI": round(scores.voi, 4),
        "adapted Rand error": round(scores.adapted_rand_error, 4),
    }
