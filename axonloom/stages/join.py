"""What meets at the faces between blocks: edges across them, and fragments that are one.

Each block looks at its three low faces and at the matching high faces of its neighbours, all of them small files: no voxel is
read, and each pair of voxels across a face is counted by exactly one block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.faces import BlockFaces, face_contacts
from axonloom.assembly.join_table import JoinTable
from axonloom.geometry import Block, BlockGrid
from axonloom.stage import Stage, StageError, StagePlan
from axonloom.stages.fragment import edges_path, faces_path
from axonloom.stages.inputs import stage_folder, stage_input


class JoinStage(Stage):
    name = "join"
    version = 3
    voxels_per_second = 5e7
    is_even = True
    bytes_read, bytes_written, memory = 1.0, 0.1, 8.0

    @classmethod
    def planned(cls, fragment: StagePlan) -> StagePlan:
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={
                name: fragment.parameters[name] for name in ("high", "histograms") if name in fragment.parameters
            },
            inputs={"fragments": stage_input(fragment)},
            grid=BlockGrid(fragment.grid.region, fragment.grid.shape),
            workspace=fragment.workspace,
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        fragment = stage_folder(self.plan.inputs["fragments"], self.plan.workspace)
        tables, joins = [], []
        own = BlockFaces.read(faces_path(fragment, block.index))
        for axis in range(3):
            below = self.plan.grid.neighbour_below(block.index, axis)
            if below is None:
                continue
            lower, upper = BlockFaces.read(faces_path(fragment, below)).high[axis], own.low[axis]
            if lower is None or upper is None:
                raise StageError(
                    f"blocks {below} and {block.index} of {fragment} are neighbours, but one has no face there"
                )
            edges, joined = face_contacts(
                lower, upper, self.plan.grid.region.shape, histograms="histograms" in self.plan.parameters
            )
            tables.append(edges)
            joins.append(JoinTable(joined, np.full(len(joined), axis, np.uint8)))
        # Faces across different axes are not added up: they may be met at different levels of an agglomeration.
        contacts, joined_pairs = EdgeTable.concatenate(tables), JoinTable.concatenate(joins)
        contacts.write(edges_path(self.plan.folder, block.index))
        joined_pairs.write(joins_path(self.plan.folder, block.index))
        return {"edges": len(contacts), "joins": len(joined_pairs)}

    def files(self, block: Block) -> list[Path]:
        return [edges_path(self.plan.folder, block.index), joins_path(self.plan.folder, block.index)]

    def reads(self, name: str, source: StagePlan, blocks: Sequence[int]) -> list[int]:
        """A block looks at its own faces and at those of its lower neighbours."""
        return with_upper_neighbours(self.plan.grid, blocks)


def with_upper_neighbours(grid: BlockGrid, blocks: Sequence[int]) -> list[int]:
    """Blocks and those that lie above them on an axis, ascending."""
    found = set(blocks)
    for index in blocks:
        found.update(
            b
            for b in grid.blocks_touching(grid.block(index).core.grown((0, 0, 0), (1, 1, 1)))
            if any(grid.neighbour_below(b, axis) == index for axis in range(3))
        )
    return sorted(found)


def joins_path(folder: Path, block: int) -> Path:
    return folder / "joins" / f"{block:08d}.parquet"
