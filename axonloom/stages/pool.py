"""The ID pool: which segment each fragment belongs to at a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.id_map import IdMap
from axonloom.assembly.lookup_table import LookupTable, pool
from axonloom.assembly.object_table import ObjectTable
from axonloom.geometry import Block
from axonloom.stage import Stage, StagePlan
from axonloom.stages.agglomerate import DENDROGRAM
from axonloom.stages.graph import CANONICAL, FRAGMENTS
from axonloom.stages.inputs import stage_folder, stage_input

LOOKUP = "lookup.arrow"


class PoolStage(Stage):
    name = "pool"
    version = 1
    bytes_read, bytes_written, memory = 2.2, 1.2, 50.0

    @classmethod
    def planned(cls, graph: StagePlan, agglomerate: StagePlan, threshold: Decimal) -> StagePlan:
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={"threshold": format(threshold.normalize(), "f")},
            inputs={"graph": stage_input(graph), "dendrogram": stage_input(agglomerate)},
            grid=graph.grid,
            workspace=graph.workspace,
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        graph = stage_folder(self.plan.inputs["graph"], self.plan.workspace)
        dendrogram = Dendrogram.read(stage_folder(self.plan.inputs["dendrogram"], self.plan.workspace) / DENDROGRAM)
        fragments = ObjectTable.read(graph / FRAGMENTS)
        segments = pool(fragments.ids, dendrogram, self.plan.parameters["threshold"])
        table = LookupTable.compose(IdMap.read(graph / CANONICAL), fragments.ids, segments)
        table.write(self.plan.folder / LOOKUP)
        return {"segments": table.count}

    def files(self, block: Block) -> list[Path]:
        return [self.plan.folder / LOOKUP]
