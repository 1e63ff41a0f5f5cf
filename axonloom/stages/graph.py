"""All blocks' tables to one region graph, the same for every blocking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.faces import read_joins
from axonloom.assembly.object_table import ObjectTable, read_objects
from axonloom.assembly.region_graph import assemble
from axonloom.geometry import Block
from axonloom.stage import Stage, StagePlan
from axonloom.stages.fragment import edges_path, objects_path
from axonloom.stages.inputs import stage_folder, stage_input
from axonloom.stages.join import joins_path
from axonloom.stages.whole import one_block


class GraphStage(Stage):
    """Writes ``fragments.parquet`` (canonical id, voxels), ``provisional.parquet`` and ``edges.parquet``."""

    name = "graph"
    version = 1

    @classmethod
    def planned(cls, fragment: StagePlan, join: StagePlan) -> StagePlan:
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={},
            inputs={"fragments": stage_input(fragment), "joins": stage_input(join)},
            grid=one_block(fragment.grid),
            workspace=fragment.workspace,
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        fragment = stage_folder(self.plan.inputs["fragments"], self.plan.workspace)
        join = stage_folder(self.plan.inputs["joins"], self.plan.workspace)
        blocks = range(len(StagePlan.load(fragment).grid))
        graph = assemble(
            ObjectTable.concatenate([read_objects(objects_path(fragment, b)) for b in blocks]),
            EdgeTable.concatenate([EdgeTable.read(edges_path(f, b)) for b in blocks for f in (fragment, join)]),
            np.concatenate([read_joins(joins_path(join, b)) for b in blocks]),
        )
        graph.write(self.plan.folder)
        return {"fragments": len(graph.fragments), "edges": len(graph.edges)}
