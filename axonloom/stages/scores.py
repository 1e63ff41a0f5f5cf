"""Scores of a chain's segmentation, from the tables of its stages: no voxel is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.id_map import IdMap
from axonloom.assembly.lookup_table import LookupTable
from axonloom.chain import Chain
from axonloom.durable import write_json
from axonloom.evaluation.contingency import ContingencyTable
from axonloom.evaluation.report import Scores, score
from axonloom.evaluation.thresholds import score_thresholds
from axonloom.stages.contingency import ContingencyStage
from axonloom.stages.pool import PoolStage, lookup_path

FORMAT_VERSION = 1


@dataclass(frozen=True)
class ChainScores:
    """The segmentation, the fragments that it is merged from, and other thresholds.

    Attributes
    ----------
    method : ``merge.method``, or what suited
    threshold : of the segmentation; None where the method has no thresholds
    segmentation : as it is written, rules for dust included
    fragments : what is merged: the fragments of the region graph, or the labels of each block alone
    at : threshold -> scores under the same rules, ascending; that of the segmentation is among them. Empty without thresholds
    """

    method: str
    threshold: Decimal | None
    segmentation: Scores
    fragments: Scores
    at: Mapping[Decimal, Scores]

    @property
    def best_threshold(self) -> Decimal | None:
        """Of all thresholds scored, the one of lowest VOI; the segmentation's where several are. None where there are none."""
        return min(self.at, key=lambda t: (self.at[t].voi, t != self.threshold)) if self.at else None

    def as_dict(self) -> dict[str, Any]:
        """Flat and plain: what ``evaluate --json`` prints."""
        pieces, best = self.fragments, self.best_threshold
        found = {
            **self.segmentation.to_dict(),
            "fragments_voi_split": pieces.voi_split,
            "fragments_voi_merge": pieces.voi_merge,
            "fragments_adapted_rand_error": pieces.adapted_rand_error,
        }
        if best is None:
            return {**found, "method": self.method}
        return {
            **found,
            "threshold": str(self.threshold),
            "best_threshold": str(best),
            "best_voi": self.at[best].voi,
        }


def score_chain(chain: Chain) -> ChainScores:
    """Score a chain whose ``contingency`` and ``pool`` stages are done, and keep the scores beside the counts.

    Exact at every threshold of ``evaluate.thresholds`` that the dendrogram holds, and at ``merge.threshold``: each is scored as
    it would be written, rules for dust included. A method without thresholds has one segmentation, and that is scored.
    """
    found = _stitched_scores(chain) if chain.stitches else _graph_scores(chain)
    at = {str(threshold): scores.to_dict() for threshold, scores in found.at.items()}
    write_json(scores_path(chain), {"format_version": FORMAT_VERSION, **found.as_dict(), "at": at})
    return found


def scores_path(chain: Chain) -> Path:
    """Where :func:`score_chain` keeps what it found: flat, as ``as_dict``, and ``at``: threshold -> all measures."""
    return chain.contingency.folder / "scores" / f"{chain.pool.folder.name}.json"


def _stitched_scores(chain: Chain) -> ChainScores:
    zero = chain.configuration.evaluate.predicted_zero
    labels, wanted = _counted(chain)
    tables = [LookupTable.open(lookup_path(chain.pool.folder, block)) for block in wanted]
    segments = IdMap.concatenate([IdMap(t.ids, t.segments.astype(np.uint64)) for t in tables])
    joined = labels.relabelled(segments.lookup)
    return ChainScores(chain.merging, None, segmentation=score(joined, zero), fragments=score(labels, zero), at={})


def _graph_scores(chain: Chain) -> ChainScores:
    settings, merge = chain.configuration.evaluate, chain.configuration.merge
    pool = PoolStage(chain.pool)
    labels, wanted = _counted(chain)
    thresholds: Sequence[Decimal | None] = [None]
    if pool.has_thresholds:
        thresholds = sorted({merge.threshold, *(t for t in settings.thresholds if t >= merge.lowest)})
    at = score_thresholds(
        labels,
        thresholds,
        lambda t: pool.segments_of(wanted, t).lookup,
        settings.predicted_zero,
    )
    threshold = merge.threshold if pool.has_thresholds else None
    return ChainScores(
        method=chain.merging,
        threshold=threshold,
        segmentation=at[threshold],
        fragments=score(labels.relabelled(pool.fragments_of(wanted).lookup), settings.predicted_zero),
        at={t: scores for t, scores in at.items() if t is not None},
    )


def _counted(chain: Chain) -> tuple[ContingencyTable, dict[int, np.ndarray]]:
    """Voxels of what blocks wrote, against labels; and the ids (uint64) that each block wrote, where there are labels."""
    tables = {block: table.without_label_zero() for block, table in ContingencyStage(chain.contingency).tables()}
    found = {block: np.unique(table.segments[table.segments != 0]) for block, table in tables.items() if len(table)}
    return ContingencyTable.summed(tables.values()), found
