"""Merges up to a threshold (or a partition), and the rules for dust, to the table from fragments to segments."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.id_map import IdMap
from axonloom.assembly.lookup_table import LookupTable, numbered, pool
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.thresholds import Threshold
from axonloom.config.merge import MergeSettings
from axonloom.geometry import Block
from axonloom.segmentation.dust import without_dust
from axonloom.stage import Stage, StagePlan
from axonloom.stages.agglomerate import DENDROGRAM
from axonloom.stages.graph import CANONICAL, EDGES, FRAGMENTS
from axonloom.stages.inputs import stage_folder, stage_input
from axonloom.stages.multicut import PARTITION

LOOKUP = "lookup.arrow"


class PoolStage(Stage):
    """Reads the dendrogram of an agglomeration, or else a partition that some other method made."""

    name = "pool"
    version = 1
    bytes_read, bytes_written, memory = 0.6, 0.7, 15.0

    @classmethod
    def planned(cls, graph: StagePlan, merged: StagePlan, settings: MergeSettings) -> StagePlan:
        """The plan for what ``merged`` (the agglomeration, or a stage that writes a partition) makes of ``graph``."""
        parameters: dict[str, Any] = {}
        inputs = {"graph": stage_input(graph)}
        if merged.stage == "agglomerate":
            parameters["threshold"] = format(settings.threshold.normalize(), "f")
            inputs["dendrogram"] = stage_input(merged)
        else:
            inputs["partition"] = stage_input(merged)
        # Rules that change nothing are not named, so that what was made before there were any is still good.
        if settings.dust > 1:
            parameters |= {"dust": settings.dust, "dust_lowest": format(settings.dust_lowest.normalize(), "f")}
        if settings.discard > 1:
            parameters["discard"] = settings.discard
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters=parameters,
            inputs=inputs,
            grid=graph.grid,
            workspace=graph.workspace,
        )

    @property
    def has_thresholds(self) -> bool:
        """Whether :meth:`segments` can be asked for other thresholds than the plan's."""
        return "dendrogram" in self.plan.inputs

    @cached_property
    def fragments(self) -> ObjectTable:
        return ObjectTable.read(self._folder("graph") / FRAGMENTS)

    @cached_property
    def canonical(self) -> IdMap:
        """From the ids that blocks wrote to those of the fragments."""
        return IdMap.read(self._folder("graph") / CANONICAL)

    @cached_property
    def dendrogram(self) -> Dendrogram:
        return Dendrogram.read(self._folder("dendrogram") / DENDROGRAM)

    @cached_property
    def edges(self) -> EdgeTable:
        return EdgeTable.read(self._folder("graph") / EDGES)

    def segments(self, threshold: Threshold | None = None) -> np.ndarray:
        """The segment of each fragment (uint64), all rules applied: those of the plan, or of another threshold.

        Raises
        ------
        ThresholdError
            The threshold lies below what was recorded.
        """
        if self.has_thresholds:
            at = self.plan.parameters["threshold"] if threshold is None else threshold
            found = pool(self.fragments.ids, self.dendrogram, at)
        else:
            partition = IdMap.read(self._folder("partition") / PARTITION)
            found = numbered(partition.lookup(self.fragments.ids))
        join, discard = (self.plan.parameters.get(name, 0) for name in ("dust", "discard"))
        if not (join or discard):
            return found
        return without_dust(
            found,
            self.fragments,
            self.edges if join else EdgeTable.empty(),
            join=join,
            lowest=self.plan.parameters.get("dust_lowest", "0"),
            discard=discard,
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        table = LookupTable.compose(self.canonical, self.fragments.ids, self.segments())
        table.write(self.plan.folder / LOOKUP)
        return {"segments": table.count}

    def files(self, block: Block) -> list[Path]:
        return [self.plan.folder / LOOKUP]

    def _folder(self, name: str) -> Path:
        return stage_folder(self.plan.inputs[name], self.plan.workspace)
