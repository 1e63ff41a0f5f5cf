"""The region graph to a dendrogram: one run, every threshold."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from axonloom.assembly.region_graph import read_edges
from axonloom.geometry import Block
from axonloom.segmentation.agglomeration import agglomerate
from axonloom.stage import Stage, StagePlan
from axonloom.stages.inputs import stage_folder, stage_input

DENDROGRAM = "dendrogram.parquet"


class AgglomerateStage(Stage):
    name = "agglomerate"
    version = 1

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
        edges = read_edges(stage_folder(self.plan.inputs["graph"], self.plan.workspace))
        dendrogram = agglomerate(edges, Fraction(self.plan.parameters["lowest"]))
        dendrogram.write(self.plan.folder / DENDROGRAM)
        return {"merges": len(dendrogram)}
