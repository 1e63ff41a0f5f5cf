"""Scores of a chain's segmentation, from the tables of its stages: no voxel is read."""

from __future__ import annotations

from collections.abc import Mapping
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
from axonloom.evaluation.report import Scores, score
from axonloom.evaluation.thresholds import score_thresholds
from axonloom.stages.agglomerate import DENDROGRAM
from axonloom.stages.contingency import ContingencyStage
from axonloom.stages.graph import BASINS, CANONICAL, FRAGMENTS

FORMAT_VERSION = 1


@dataclass(frozen=True)
class ChainScores:
    """The segmentation, the fragments that it is merged from, and other thresholds.

    Attributes
    ----------
    threshold : of the segmentation
    fragments : what the watershed made: nothing absorbed, nothing merged
    at : threshold -> scores, ascending; that of the segmentation is among them
    """

    threshold: Decimal
    fragments: Scores
    at: Mapping[Decimal, Scores]

    @property
    def segmentation(self) -> Scores:
        return self.at[self.threshold]

    @property
    def best_threshold(self) -> Decimal:
        """Of all thresholds scored, the one of lowest VOI; the segmentation's where several are."""
        return min(self.at, key=lambda t: (self.at[t].voi, t != self.threshold))

    def as_dict(self) -> dict[str, Any]:
        """Flat and plain: what ``evaluate --json`` prints."""
        pieces = self.fragments
        return {
            **self.segmentation.to_dict(),
            "threshold": str(self.threshold),
            "fragments_voi_split": pieces.voi_split,
            "fragments_voi_merge": pieces.voi_merge,
            "fragments_adapted_rand_error": pieces.adapted_rand_error,
            "best_threshold": str(self.best_threshold),
            "best_voi": self.at[self.best_threshold].voi,
        }


def score_chain(chain: Chain) -> ChainScores:
    """Score a chain whose ``contingency`` and ``pool`` stages are done, and keep the scores beside the counts.

    Exact at every threshold of ``evaluate.thresholds`` that the dendrogram holds, and at ``merge.threshold``.
    """
    settings, merge = chain.configuration.evaluate, chain.configuration.merge
    canonical = IdMap.read(chain.graph.folder / CANONICAL)
    ids = ObjectTable.read(chain.graph.folder / FRAGMENTS).ids
    dendrogram = Dendrogram.read(chain.agglomerate.folder / DENDROGRAM)
    basins = IdMap.read(chain.graph.folder / BASINS)
    provisional = ContingencyStage(chain.contingency).total()
    counts = provisional.relabelled(canonical.lookup)
    found = ChainScores(
        threshold=merge.threshold,
        fragments=score(provisional.relabelled(basins.lookup), settings.predicted_zero),
        at=score_thresholds(
            counts,
            sorted({merge.threshold, *(t for t in settings.thresholds if t >= merge.lowest)}),
            lambda t: IdMap(ids, pool(ids, dendrogram, t).astype(np.uint64)).lookup,
            settings.predicted_zero,
        ),
    )
    write_json(
        chain.contingency.folder / "scores" / f"{chain.pool.folder.name}.json",
        {"format_version": FORMAT_VERSION, **found.as_dict()},
    )
    return found
