"""All blocks' tables to one region graph, the same for every blocking."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.growth_table import GrowthTable
from axonloom.assembly.join_table import JoinTable
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.region_graph import assemble
from axonloom.geometry import Block
from axonloom.segmentation.absorption import absorb
from axonloom.stage import Stage, StagePlan
from axonloom.stages.fragment import edges_path, growth_path
from axonloom.stages.fragments_volume import objects_path
from axonloom.stages.inputs import stage_folder, stage_input
from axonloom.stages.join import joins_path
from axonloom.stages.whole import one_block

FRAGMENTS, EDGES, CANONICAL = "fragments.parquet", "edges.parquet", "canonical.parquet"


class GraphStage(Stage):
    """Writes the fragments (canonical id, voxels), the edges, and the table from provisional to canonical ids."""

    name = "graph"
    version = 5
    bytes_read, bytes_written, memory = 1.7, 0.5, 40.0

    @classmethod
    def planned(cls, fragment: StagePlan, join: StagePlan) -> StagePlan:
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={name: fragment.parameters[name] for name in ("absorb", "low")},
            inputs={"fragments": stage_input(fragment), "joins": stage_input(join)},
            grid=one_block(fragment.grid),
            workspace=fragment.workspace,
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        fragment = stage_folder(self.plan.inputs["fragments"], self.plan.workspace)
        join = stage_folder(self.plan.inputs["joins"], self.plan.workspace)
        blocks = range(len(StagePlan.load(fragment).grid))
        graph = assemble(
            ObjectTable.concatenate([ObjectTable.read(objects_path(fragment, b)) for b in blocks]),
            EdgeTable.concatenate([EdgeTable.read(edges_path(f, b)) for b in blocks for f in (fragment, join)]),
            JoinTable.concatenate([JoinTable.read(joins_path(join, b)) for b in blocks]).pairs,
        )
        growth = GrowthTable.concatenate([GrowthTable.read(growth_path(fragment, b)) for b in blocks])
        graph = absorb(graph, self.plan.parameters["absorb"], self.plan.parameters["low"], growth)
        graph.fragments.write(self.plan.folder / FRAGMENTS)
        graph.edges.write(self.plan.folder / EDGES)
        graph.canonical.write(self.plan.folder / CANONICAL)
        return {"fragments": len(graph.fragments), "edges": len(graph.edges)}

    def files(self, block: Block) -> list[Path]:
        return [self.plan.folder / name for name in (FRAGMENTS, EDGES, CANONICAL)]
