"""Scores of a chain's segmentation, from the counts of fragments against labels, and the artifacts that show them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.id_map import IdMap
from axonloom.assembly.lookup_table import pool
from axonloom.assembly.object_table import ObjectTable
from axonloom.chain import Chain
from axonloom.durable import write_json
from axonloom.evaluation.adapted_rand import adapted_rand
from axonloom.evaluation.contingency import ContingencyTable
from axonloom.evaluation.pairing import PredictedZero
from axonloom.evaluation.voi import voi
from axonloom.stages.agglomerate import DENDROGRAM
from axonloom.stages.contingency import ContingencyStage
from axonloom.stages.graph import CANONICAL, FRAGMENTS
from tasks.artifacts import show_table


@dataclass(frozen=True)
class ThresholdScores:
    """Scores at one threshold; None: fragments, nothing merged."""

    threshold: Decimal | None
    voi_split: float
    voi_merge: float
    adapted_rand_error: float
    adapted_rand_precision: float
    adapted_rand_recall: float

    @property
    def voi(self) -> float:
        return self.voi_split + self.voi_merge

    def as_row(self) -> dict[str, Any]:
        return {
            "threshold": "nothing merged" if self.threshold is None else str(self.threshold),
            "VOI split": round(self.voi_split, 4),
            "VOI merge": round(self.voi_merge, 4),
            "VOI": round(self.voi, 4),
            "adapted Rand error": round(self.adapted_rand_error, 4),
        }


@dataclass(frozen=True)
class ChainScores:
    """The segmentation, the fragments that it is merged from, and other thresholds."""

    segmentation: ThresholdScores
    fragments: ThresholdScores
    others: tuple[ThresholdScores, ...]

    @property
    def best(self) -> ThresholdScores:
        """Of all thresholds scored, the one of lowest VOI."""
        return min((self.segmentation, *self.others), key=lambda scores: scores.voi)

    def as_dict(self) -> dict[str, Any]:
        """Flat and plain: what ``evaluate --json`` prints."""
        ours, pieces, best = self.segmentation, self.fragments, self.best
        return {
            "voi_split": ours.voi_split,
            "voi_merge": ours.voi_merge,
            "adapted_rand_error": ours.adapted_rand_error,
            "adapted_rand_precision": ours.adapted_rand_precision,
            "adapted_rand_recall": ours.adapted_rand_recall,
            "threshold": str(ours.threshold),
            "fragments_voi_split": pieces.voi_split,
            "fragments_voi_merge": pieces.voi_merge,
            "fragments_adapted_rand_error": pieces.adapted_rand_error,
            "best_threshold": str(best.threshold),
            "best_voi": best.voi,
        }


def score(chain: Chain) -> ChainScores:
    """Score a chain whose ``contingency`` and ``pool`` stages are done. Reads tables only; exact for every threshold."""
    settings = chain.configuration.evaluate
    stage = ContingencyStage(chain.contingency)
    canonical = IdMap.read(chain.graph.folder / CANONICAL)
    fragments = ObjectTable.read(chain.graph.folder / FRAGMENTS).ids
    dendrogram = Dendrogram.read(chain.agglomerate.folder / DENDROGRAM)
    table = stage.total().relabelled(canonical.lookup)

    def at(threshold: Decimal) -> ThresholdScores:
        segments = IdMap(fragments, pool(fragments, dendrogram, threshold).astype(np.uint64))
        return _scores(table.relabelled(segments.lookup), threshold, settings.predicted_zero)

    chosen = chain.configuration.merge.threshold
    found = ChainScores(
        segmentation=at(chosen),
        fragments=_scores(table, None, settings.predicted_zero),
        others=tuple(at(t) for t in settings.thresholds if t >= chain.configuration.merge.lowest and t != chosen),
    )
    write_json(
        chain.contingency.folder / "scores" / f"{chain.pool.folder.name}.json", {"format_version": 1, **found.as_dict()}
    )
    return found


def show_scores(chain: Chain, scores: ChainScores) -> None:
    """A table of all thresholds, as an artifact."""
    ours = scores.segmentation
    rows = sorted((ours, *scores.others), key=lambda s: s.threshold or Decimal(0))
    show_table(
        chain.contingency,
        "scores",
        [scores.fragments.as_row(), *(s.as_row() for s in rows)],
        f"VOI in bits, label 0 ignored, predicted 0 as {chain.configuration.evaluate.predicted_zero}; the segmentation is "
        f"that of threshold {ours.threshold}",
    )


def _scores(table: ContingencyTable, threshold: Decimal | None, predicted_zero: PredictedZero) -> ThresholdScores:
    information, rand = voi(table, predicted_zero), adapted_rand(table, predicted_zero)
    return ThresholdScores(threshold, information.split, information.merge, rand.error, rand.precision, rand.recall)
