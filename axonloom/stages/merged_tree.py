"""The segments of an agglomeration at a threshold, from the top of its tree down to the blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import lru_cache

import numpy as np

from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.id_map import IdMap
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.thresholds import Threshold
from axonloom.geometry import BlockGrid, Box
from axonloom.segmentation.parts import segments_within
from axonloom.stage import StagePlan
from axonloom.stages.agglomerate import AgglomerateStage, merges_of
from axonloom.stages.fragments_volume import objects_path
from axonloom.stages.inputs import stage_folder

#: Parts whose tables stay in memory: what is asked for one threshold after the other is read once, where it is small.
PARTS_KEPT = 16


class MergedTree:
    """What all levels of an agglomeration wrote; in memory there are :data:`PARTS_KEPT` parts at a time.

    Parameters
    ----------
    top : StagePlan
        The agglomeration's last level.
    """

    def __init__(self, top: StagePlan) -> None:
        self.levels = [top]
        while True:
            below = StagePlan.load(stage_folder(self.levels[-1].inputs["within"], top.workspace))
            if below.stage != AgglomerateStage.name:
                break
            self.levels.append(below)
        self.fragment = below
        self.blocks = BlockGrid(below.grid.region, below.grid.shape)
        self._part = lru_cache(PARTS_KEPT)(self._read_part)

    def whole(self, threshold: Threshold | None) -> np.ndarray:
        """The segments at a threshold, named by their smallest fragments (uint64, ascending); None: nothing is merged.

        Raises
        ------
        ThresholdError
            The threshold lies below what was recorded.
        """
        found = [whole for _, _, whole in self._down(threshold, None)]
        return np.sort(np.concatenate(found))

    def of_blocks(
        self, threshold: Threshold | None, only: Collection[int] | None = None
    ) -> Iterator[tuple[int, IdMap]]:
        """Block by block, from the ids that it wrote to the segments' smallest fragments; raises as :meth:`whole`."""
        for box, segments, _ in self._down(threshold, only):
            if segments is None:
                continue
            for block in self.blocks.blocks_touching(box):
                if only is None or block in only:
                    ids = ObjectTable.read(objects_path(self.fragment.folder, block)).ids
                    yield block, IdMap(ids, segments.lookup(ids))

    def _down(
        self, threshold: Threshold | None, only: Collection[int] | None
    ) -> Iterator[tuple[Box, IdMap | None, np.ndarray]]:
        """All parts that hold any of some blocks, each after the one around it: its box, the segments of what its blocks wrote
        (for parts of the first level), and those that are whole in it.
        """
        wanted = None if only is None else [self._parts_of(plan, only) for plan in self.levels]
        nothing = np.zeros(0, np.uint64)
        waiting = [(0, 0, IdMap(nothing, nothing))]
        while waiting:
            depth, index, around = waiting.pop()
            plan = self.levels[depth]
            if wanted is not None and index not in wanted[depth]:
                continue
            box = plan.grid.block(index).core
            fragments, merges, handed_on = self._part(depth, index)
            above = IdMap(handed_on, around.lookup(handed_on))
            segments, whole = segments_within(fragments, merges, threshold, above)
            last = depth + 1 == len(self.levels)
            yield box, segments if last else None, whole
            if not last:
                waiting += [(depth + 1, i, segments) for i in self.levels[depth + 1].grid.blocks_touching(box)]

    def _parts_of(self, plan: StagePlan, blocks: Collection[int]) -> set[int]:
        """The parts of a level in which some blocks lie."""
        return {part for b in blocks for part in plan.grid.blocks_touching(self.blocks.block(b).core)}

    def _read_part(self, depth: int, index: int) -> tuple[IdMap, Dendrogram, np.ndarray]:
        return merges_of(self.levels[depth], index)
