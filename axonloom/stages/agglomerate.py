"""The region graph to a dendrogram: one run, every threshold."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from axonloom.assembly.edge_table import EdgeTable
from axonloom.geometry import Block
from axonloom.segmentation.agglomeration import agglomerate
from axonloom.stage import Stage, StagePlan
from axonloom.stages.graph import EDGES
from axonloom.stages.inputs import stage_folder, stage_input

DENDROGRAM = "dendrogram.parquet"


class AgglomerateStage(Stage):
    name = "agglomerate"
    version = 1
    bytes_read, bytes_written, memory = 0.3, 0.1, 10.0

    @classmethod
    def planned(cls, graph: StagePlan, lowest: Decimal) -> StagePlan:
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={"scoring": "mean", "lowest": format(lowest.normalize(), "f")},
            inputs={"graph": stage_input(graph)},
            grid=graph.grid,
            workspace=graph.workspace,
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        edges = EdgeTable.read(stage_folder(self.plan.inputs["graph"], self.plan.workspace) / EDGES)
        dendrogram = agglomerate(edges, self.plan.parameters["lowest"])
        dendrogram.write(self.plan.folder / DENDROGRAM)
        return {"merges": len(dendrogram)}

    def files(self, block: Block) -> list[Path]:
        return [self.plan.folder / DENDROGRAM]
