"""The scores of a chain as an artifact."""

from __future__ import annotations

from typing import Any

from axonloom.chain import Chain
from axonloom.evaluation.report import Scores
from axonloom.stages.scores import ChainScores
from tasks.artifacts import show_table


def show_scores(chain: Chain, scores: ChainScores) -> None:
    """A table of all thresholds, or of the one segmentation where there are none."""
    merged = scores.at or {scores.method: scores.segmentation}
    what = f"that of threshold {scores.threshold}" if scores.at else f"a {scores.method}, which has no thresholds"
    show_table(
        chain.contingency,
        "scores",
        [
            _row("none (fragments)", scores.fragments),
            *(_row(str(name), each) for name, each in merged.items()),
        ],
        f"VOI in bits, label 0 ignored, predicted 0 as {chain.configuration.evaluate.predicted_zero}; the segmentation is {what}",
    )


def _row(threshold: str, scores: Scores) -> dict[str, Any]:
    return {
        "threshold": threshold,
        "VOI split": round(scores.voi_split, 4),
        "VOI merge": round(scores.voi_merge, 4),
        "VOI": round(scores.voi, 4),
        "adapted Rand error": round(scores.adapted_rand_error, 4),
    }
