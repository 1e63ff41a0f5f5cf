"""Fragments to merges at every threshold, part by part up a tree of boxes of blocks.

The parts of one level are the blocks of one stage: each is computed, recorded and resumed alone. The last level is the whole
volume as one part, which holds only what no smaller part could decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.faces import BlockFaces
from axonloom.assembly.growth_table import GrowthTable
from axonloom.assembly.id_map import IdMap
from axonloom.assembly.join_table import JoinTable
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.open_faces import OpenFaces
from axonloom.assembly.part_tree import faces_between, outer_sides, part_grids
from axonloom.config.merge import MergeSettings, percent_of
from axonloom.geometry import Block, BlockGrid, Box
from axonloom.lazy import lazy
from axonloom.segmentation.parts import MergedPart, merge_part
from axonloom.stage import Stage, StagePlan
from axonloom.stages.fragment import edges_path, faces_path, growth_path
from axonloom.stages.fragments_volume import objects_path
from axonloom.stages.inputs import stage_folder, stage_input
from axonloom.stages.join import joins_path

TABLES = ("fragments", "merges", "objects", "growth", "edges", "faces")


class AgglomerateStage(Stage):
    """One level of the tree."""

    name = "agglomerate"
    version = 3
    voxels_per_second = 1e7
    bytes_read, bytes_written, memory = 1.0, 0.3, 40.0

    @classmethod
    def planned(cls, fragment: StagePlan, join: StagePlan, settings: MergeSettings) -> tuple[StagePlan, ...]:
        """The plans of all levels, finest first."""
        grids = part_grids(BlockGrid(fragment.grid.region, fragment.grid.shape), int(settings.part * 10**6))
        plans: list[StagePlan] = []
        for level, grid in enumerate(grids, 1):
            parameters = {
                "scoring": settings.score,
                "lowest": format(settings.lowest.normalize(), "f"),
                "absorb": fragment.parameters["absorb"],
                "low": fragment.parameters["low"],
            }
            plans.append(
                StagePlan(
                    stage=cls.name,
                    version=cls.version,
                    parameters={**parameters, "level": level} if len(grids) > 1 else parameters,
                    inputs={"within": stage_input(plans[-1] if plans else fragment), "joins": stage_input(join)},
                    grid=grid,
                    workspace=fragment.workspace,
                )
            )
        return tuple(plans)

    @classmethod
    def memory_a_voxel(cls, plan: StagePlan) -> float:
        # Above the first level there is only what parts could not decide. That lies at their faces, so that there is half as much
        # a voxel from level to level (a hard phantom: 5 bytes on the second, 1.6 on the third).
        level = plan.parameters.get("level", 1)
        memory = cls.memory if level == 1 else 14.0 / 2 ** (level - 1)
        # A histogram is 128 bytes an edge, and all of them are twice in memory for a moment.
        return memory * (1 if plan.parameters["scoring"] == "mean" else 4)

    @lazy
    def within(self) -> StagePlan:
        """The stage of the level below; the fragment stage below the first."""
        return StagePlan.load(stage_folder(self.plan.inputs["within"], self.plan.workspace))

    @lazy
    def join(self) -> StagePlan:
        return StagePlan.load(stage_folder(self.plan.inputs["joins"], self.plan.workspace))

    def process(self, block: Block) -> Mapping[str, Any]:
        parameters = self.plan.parameters
        within = [PartTables(self.within, i) for i in self.within.grid.blocks_touching(block.core)]
        meeting = list(faces_between(self.join.grid, self.within.grid, block.core))
        part = merge_part(
            (each.objects() for each in within),
            (each.growth() for each in within),
            [each.faces() for each in within],
            [outer_sides(each.core, block.core) for each in within],
            (each.edges() for each in within),
            (EdgeTable.read(edges_path(self.join.folder, index)).across(axes) for index, axes in meeting),
            np.concatenate([np.zeros((0, 2), np.uint64), *(self._joins(index, axes) for index, axes in meeting)]),
            absorb=parameters["absorb"],
            low=parameters["low"],
            lowest=parameters["lowest"],
            percent=percent_of(parameters["scoring"]),
        )
        write_part(self.plan.folder, block.index, part)
        return {
            "merges": len(part.merges),
            "undecided_objects": len(part.undecided.objects),
            "undecided_edges": len(part.undecided.edges),
        }

    def _joins(self, index: int, axes: list[int]) -> np.ndarray:
        return JoinTable.read(joins_path(self.join.folder, index)).across(axes).pairs

    def files(self, block: Block) -> list[Path]:
        return [_path(self.plan.folder, table, block.index) for table in TABLES]


@dataclass(frozen=True)
class PartTables:
    """What a part handed on (see :class:`~axonloom.segmentation.parts.Undecided`), read when asked for; for a block of the
    fragment stage, all that it has.
    """

    plan: StagePlan
    index: int

    @property
    def core(self) -> Box:
        return self.plan.grid.block(self.index).core

    def objects(self) -> ObjectTable:
        return ObjectTable.read(objects_path(self.plan.folder, self.index) if self._is_block else self._path("objects"))

    def growth(self) -> GrowthTable:
        return GrowthTable.read(growth_path(self.plan.folder, self.index) if self._is_block else self._path("growth"))

    def edges(self) -> EdgeTable:
        return EdgeTable.read(edges_path(self.plan.folder, self.index) if self._is_block else self._path("edges"))

    def faces(self) -> OpenFaces:
        if self._is_block:
            return OpenFaces.of_block(BlockFaces.read(faces_path(self.plan.folder, self.index)))
        return OpenFaces.read(self._path("faces"))

    @property
    def _is_block(self) -> bool:
        return self.plan.stage != AgglomerateStage.name

    def _path(self, table: str) -> Path:
        return _path(self.plan.folder, table, self.index)


def write_part(folder: Path, index: int, part: MergedPart) -> None:
    part.fragments.write(_path(folder, "fragments", index))
    part.merges.write(_path(folder, "merges", index))
    part.undecided.objects.write(_path(folder, "objects", index))
    part.undecided.growth.write(_path(folder, "growth", index))
    part.undecided.edges.write(_path(folder, "edges", index))
    part.undecided.faces.write(_path(folder, "faces", index))


def merges_of(plan: StagePlan, index: int) -> tuple[IdMap, Dendrogram, np.ndarray]:
    """Of a part its fragments and merges (see :class:`MergedPart`), and the ids (uint64) of what it handed on."""
    return (
        IdMap.read(_path(plan.folder, "fragments", index)),
        Dendrogram.read(_path(plan.folder, "merges", index)),
        ObjectTable.read(_path(plan.folder, "objects", index)).ids,
    )


def _path(folder: Path, table: str, index: int) -> Path:
    return folder / table / f"{index:08d}.parquet"
