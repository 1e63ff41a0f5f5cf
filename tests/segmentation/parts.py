"""A volume merged part by part in memory and cut at a threshold, the way the stages do it on disk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.faces import face_contacts
from axonloom.assembly.id_map import IdMap
from axonloom.assembly.lookup_table import numbered
from axonloom.assembly.open_faces import OpenFaces
from axonloom.assembly.part_tree import faces_between, outer_sides
from axonloom.geometry import BlockGrid
from axonloom.segmentation.fragments import BlockFragments
from axonloom.segmentation.parts import MergedPart, Undecided, merge_part, segments_within


class Tree:
    """All parts over some blocks, level by level; ``grids`` are those of the levels, finest first."""

    def __init__(
        self,
        grid: BlockGrid,
        blocks: Sequence[BlockFragments],
        grids: Sequence[BlockGrid],
        absorb: int,
        low: int,
        lowest: str,
        percent: int | None = None,
    ) -> None:
        self.grids = [grid, *grids]
        self.levels: list[list[MergedPart]] = []
        undecided = [Undecided(b.objects, b.growth, b.edges, OpenFaces.of_block(b.faces)) for b in blocks]
        for below, level in zip(self.grids[:-1], self.grids[1:], strict=True):
            self.levels.append([])
            for part in level:
                within = below.blocks_touching(part.core)
                parts = [undecided[i] for i in within]
                contacts, joins = [], [np.zeros((0, 2), np.uint64)]
                for index, axes in faces_between(grid, below, part.core):
                    for axis in axes:
                        lower, upper = (
                            blocks[grid.neighbour_below(index, axis)].faces.high[axis],
                            blocks[index].faces.low[axis],
                        )
                        found, joined = face_contacts(lower, upper, grid.region.shape, histograms=percent is not None)
                        contacts.append(found)
                        joins.append(joined)
                self.levels[-1].append(
                    merge_part(
                        [each.objects for each in parts],
                        [each.growth for each in parts],
                        [each.faces for each in parts],
                        [outer_sides(below.block(i).core, part.core) for i in within],
                        [each.edges for each in parts],
                        contacts,
                        np.concatenate(joins),
                        absorb=absorb,
                        low=low,
                        lowest=lowest,
                        percent=percent,
                    )
                )
            undecided = [part.undecided for part in self.levels[-1]]
        assert len(undecided) == 1
        assert len(undecided[0].objects) == 0 == len(undecided[0].edges)

    def merges(self) -> list[tuple[int, ...]]:
        """The records of all parts as rows, in the order of a whole record."""
        records: list[Dendrogram] = [part.merges for level in self.levels for part in level]
        rows = [
            (-d.score(i), int(d.key[i]), *(int(getattr(d, name)[i]) for name in ("a", "b", "sum", "count", "key")))
            for d in records
            for i in range(len(d))
        ]
        return [row[2:] for row in sorted(rows)]

    def segmentation(self, provisional: np.ndarray, threshold: str) -> np.ndarray:
        """The labels of a volume of provisional ids (uint64) at a threshold."""
        nothing = np.zeros(0, np.uint64)
        above = [IdMap(nothing, nothing)]
        whole = []
        for level in range(len(self.levels) - 1, -1, -1):
            found = []
            for part in self.grids[level + 1]:
                merged = self.levels[level][part.index]
                ids = merged.undecided.objects.ids
                handed_on = IdMap(ids, above[self._around(level, part.index)].lookup(ids))
                segments, complete = segments_within(merged.fragments, merged.merges, threshold, handed_on)
                found.append(segments)
                whole.append(complete)
            above = found
        names = IdMap.concatenate(above)
        ids = np.unique(provisional[provisional > 0])
        smallest = names.lookup(ids)
        assert sorted(np.concatenate(whole)) == sorted(np.unique(smallest))
        result = np.zeros(provisional.shape, np.uint64)
        result[provisional > 0] = IdMap(ids, numbered(smallest)).lookup(provisional[provisional > 0])
        return result

    def _around(self, level: int, index: int) -> int:
        if level + 2 == len(self.grids):
            return 0
        core = self.grids[level + 1].block(index).core
        (around,) = self.grids[level + 2].blocks_touching(core)
        return around
