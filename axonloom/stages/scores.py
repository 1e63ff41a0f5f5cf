"""Scores of a chain's segmentation, from the tables of its stages: no voxel is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.id_map import IdMap
from axonloom.assembly.lookup_table import LookupTable, pool
from axonloom.assembly.object_table import ObjectTable
from axonloom.chain import Chain
from axonloom.durable import write_json
from axonloom.evaluation.report import Scores, score
from axonloom.evaluation.thresholds import score_thresholds
from axonloom.stages.agglomerate import DENDROGRAM
from axonloom.stages.contingency import ContingencyStage
from axonloom.stages.graph import BASINS, CANONICAL, FRAGMENTS
from axonloom.stages.pool import LOOKUP

FORMAT_VERSION = 1


@dataclass(frozen=True)
class ChainScores:
    """The segmentation, the fragments that it is merged from, and other thresholds.

    Attributes
    ----------
    segmentation : what was written
    fragments : what the blocks' labels are before any merging: nothing absorbed
    threshold : of the segmentation; None where merging has none
    at : threshold -> scores, ascending; that of the segmentation is among them. Empty where merging has none
    """

    segmentation: Scores
    fragments: Scores
    threshold: Decimal | None
    at: Mapping[Decimal, Scores]

    @property
    def best_threshold(self) -> Decimal | None:
        """Of all thresholds scored, the one of lowest VOI; the segmentation's where several are. None where there are none."""
        return min(self.at, key=lambda t: (self.at[t].voi, t != self.threshold)) if self.at else None

    def as_dict(self) -> dict[str, Any]:
        """Flat and plain: what ``evaluate --json`` prints."""
        pieces, best = self.fragments, self.best_threshold
        return {
            **self.segmentation.to_dict(),
            **({} if self.threshold is None else {"threshold": str(self.threshold)}),
            "fragments_voi_split": pieces.voi_split,
            "fragments_voi_merge": pieces.voi_merge,
            "fragments_adapted_rand_error": pieces.adapted_rand_error,
            **({} if best is None else {"best_threshold": str(best), "best_voi": self.at[best].voi}),
        }


def score_chain(chain: Chain) -> ChainScores:
    """Score a chain whose ``contingency`` and ``pool`` stages are done, and keep the scores beside the counts.

    Exact at every threshold of ``evaluate.thresholds`` that the dendrogram holds, and at ``merge.threshold``; where there is no
    dendrogram, the one segmentation is scored.
    """
    found = _stitched_scores(chain) if chain.stitches else _agglomerated_scores(chain)
    write_json(
        chain.contingency.folder / "scores" / f"{chain.pool.folder.name}.json",
        {"format_version": FORMAT_VERSION, **found.as_dict()},
    )
    return found


def _stitched_scores(chain: Chain) -> ChainScores:
    zero = chain.configuration.evaluate.predicted_zero
    labels = ContingencyStage(chain.contingency).total()
    table = LookupTable.open(chain.pool.folder / LOOKUP)
    joined = labels.relabelled(lambda ids: table.lookup(ids).astype(np.uint64))
    return ChainScores(segmentation=score(joined, zero), fragments=score(labels, zero), threshold=None, at={})


def _agglomerated_scores(chain: Chain) -> ChainScores:
    settings, merge = chain.configuration.evaluate, chain.configuration.merge
    canonical = IdMap.read(chain.graph.folder / CANONICAL)
    ids = ObjectTable.read(chain.graph.folder / FRAGMENTS).ids
    dendrogram = Dendrogram.read(chain.agglomerate.folder / DENDROGRAM)
    basins = IdMap.read(chain.graph.folder / BASINS)
    provisional = ContingencyStage(chain.contingency).total()
    counts = provisional.relabelled(canonical.lookup)
    at = score_thresholds(
        counts,
        sorted({merge.threshold, *(t for t in settings.thresholds if t >= merge.lowest)}),
        lambda t: IdMap(ids, pool(ids, dendrogram, t).astype(np.uint64)).lookup,
        settings.predicted_zero,
    )
    return ChainScores(
        segmentation=at[merge.threshold],
        fragments=score(provisional.relabelled(basins.lookup), settings.predicted_zero),
        threshold=merge.threshold,
        at=at,
    )
