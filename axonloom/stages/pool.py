"""Merges up to a threshold (or a partition), and the rules for dust, to tables from fragments to segments, one a block."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.gathering import gathered
from axonloom.assembly.id_map import IdMap
from axonloom.assembly.lookup_table import LookupTable
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.thresholds import Threshold
from axonloom.config.merge import MergeSettings
from axonloom.geometry import Block, BlockGrid
from axonloom.lazy import lazy
from axonloom.segmentation.dust import without_dust
from axonloom.stage import Stage, StagePlan
from axonloom.stages.agglomerate import AgglomerateStage
from axonloom.stages.fragment import edges_path
from axonloom.stages.fragments_volume import objects_path
from axonloom.stages.graph import CANONICAL
from axonloom.stages.inputs import stage_folder, stage_input
from axonloom.stages.merged_tree import MergedTree
from axonloom.stages.multicut import PARTITION
from axonloom.stages.whole import one_block


class PoolStage(Stage):
    """Reads the agglomeration, block after block; or else a partition that some other method made of the whole graph.

    In memory there are a few parts and the segments' names; of a partition, all of it. To score other thresholds with rules for
    dust, the tables of all blocks are.
    """

    name = "pool"
    version = 2
    bytes_read, bytes_written, memory = 0.6, 0.7, 4.0

    @classmethod
    def planned(cls, fragment: StagePlan, join: StagePlan, merged: StagePlan, settings: MergeSettings) -> StagePlan:
        """The plan for what ``merged`` (the top of the agglomeration, or a stage that writes a partition) makes of fragments."""
        parameters: dict[str, Any] = {}
        inputs = {"fragments": stage_input(fragment), "merged": stage_input(merged)}
        if merged.stage == AgglomerateStage.name:
            parameters["threshold"] = format(settings.threshold.normalize(), "f")
        # Rules that change nothing are not named, so that what was made before there were any is still good.
        if settings.dust > 1:
            parameters |= {"dust": settings.dust, "dust_lowest": format(settings.dust_lowest.normalize(), "f")}
            inputs["joins"] = stage_input(join)
        if settings.discard > 1:
            parameters["discard"] = settings.discard
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters=parameters,
            inputs=inputs,
            grid=one_block(fragment.grid),
            workspace=fragment.workspace,
        )

    @classmethod
    def memory_a_voxel(cls, plan: StagePlan) -> float:
        # Of a partition, the tables of the whole graph are read.
        return cls.memory if "threshold" in plan.parameters else 15.0

    @property
    def has_thresholds(self) -> bool:
        """Whether :meth:`segments_of` can be asked for other thresholds than the plan's."""
        return self._merged.stage == AgglomerateStage.name

    @lazy
    def blocks(self) -> BlockGrid:
        """Those that wrote the fragments."""
        plan = StagePlan.load(self._folder("fragments"))
        return BlockGrid(plan.grid.region, plan.grid.shape)

    def segments_of(self, wanted: Mapping[int, np.ndarray], threshold: Threshold | None = None) -> IdMap:
        """The segments of some fragments, all rules applied: those of the plan, or of another threshold.

        Parameters
        ----------
        wanted : block -> uint64
            Ids that it wrote.
        threshold : decimal of 0..1, optional

        Returns
        -------
        IdMap
            From these ids to numbers or names of segments, 0 for background.

        Raises
        ------
        ThresholdError
            The threshold lies below what was recorded.
        """
        at = self.plan.parameters.get("threshold") if threshold is None else threshold
        if not self._has_rules:
            named = self._named(at, wanted)
            return _taken(((block, names.lookup(wanted[block])) for block, names in named), wanted)
        tables = dict(self._tables(at))
        number = self._without_dust(tables.__getitem__)
        return _taken(((block, number[tables[block].lookup(ids)]) for block, ids in wanted.items()), wanted)

    def fragments_of(self, wanted: Mapping[int, np.ndarray]) -> IdMap:
        """The fragments, in the whole volume, of which some ids that blocks wrote are parts; see :meth:`segments_of`."""
        if not self.has_thresholds:
            return _taken(((block, self._canonical.lookup(ids)) for block, ids in wanted.items()), wanted)
        found = self._tree.of_blocks(None, wanted)
        return _taken(((block, names.lookup(wanted[block])) for block, names in found), wanted)

    def process(self, block: Block) -> Mapping[str, Any]:
        count = 0
        for index, table in self._tables(self.plan.parameters.get("threshold")):
            count = table.count
            table.write(lookup_path(self.plan.folder, index))
        if self._has_rules:
            number = self._without_dust(lambda index: LookupTable.open(lookup_path(self.plan.folder, index)))
            count = int(number.max())
            for index in range(len(self.blocks)):
                path = lookup_path(self.plan.folder, index)
                table = LookupTable.open(path)
                LookupTable.of(table.ids, number[table.segments], count).write(path)
        return {"segments": count}

    def files(self, block: Block) -> list[Path]:
        return [lookup_path(self.plan.folder, index) for index in range(len(self.blocks))]

    def _tables(self, threshold: Threshold | None) -> Iterator[tuple[int, LookupTable]]:
        """Block by block its table before the rules for dust: segments 1, 2, … in the order of their smallest fragments."""
        names = self._tree.whole(threshold) if self.has_thresholds else np.unique(self._partition.targets)
        numbers = IdMap(names, np.arange(1, len(names) + 1, dtype=np.uint64))
        for block, found in self._named(threshold, None):
            yield block, LookupTable.of(found.ids, numbers.lookup(found.targets), len(names))

    def _named(self, threshold: Threshold | None, only: Collection[int] | None) -> Iterator[tuple[int, IdMap]]:
        """Block by block (default: all), from the ids that it wrote to the segments' smallest fragments."""
        if self.has_thresholds:
            yield from self._tree.of_blocks(threshold, only)
            return
        for block in range(len(self.blocks)) if only is None else only:
            ids = ObjectTable.read(objects_path(self._folder("fragments"), block)).ids
            yield block, IdMap(ids, self._partition.lookup(self._canonical.lookup(ids)))

    def _without_dust(self, table_of: Callable[[int], LookupTable]) -> np.ndarray:
        """The number of each segment after the rules for dust (uint64, by its number before; 0 for background).

        Only contacts of small segments are kept: no others decide, however often small ones join.
        """
        fragments, join = self._folder("fragments"), self.plan.parameters.get("dust", 0)
        sizes = np.zeros(table_of(0).count + 1, np.uint64)
        for block in range(len(self.blocks)):
            objects = ObjectTable.read(objects_path(fragments, block))
            np.add.at(sizes, table_of(block).lookup(objects.ids), objects.voxels)
        small = sizes < join
        contacts = gathered(
            self._contacts_of_small(table_of, small) if join > 1 else (),
            lambda tables: EdgeTable.concatenate(tables).aggregated(),
        )
        segments = np.arange(1, len(sizes), dtype=np.uint64)
        cleaned = without_dust(
            segments,
            ObjectTable(segments, sizes[1:]),
            contacts,
            join=join,
            lowest=self.plan.parameters.get("dust_lowest", "0"),
            discard=self.plan.parameters.get("discard", 0),
        )
        return np.concatenate([np.zeros(1, np.uint64), cleaned])

    def _contacts_of_small(self, table_of: Callable[[int], LookupTable], small: np.ndarray) -> Iterator[EdgeTable]:
        """Block by block the contacts of small segments, within it and across its low faces."""
        for block in range(len(self.blocks)):
            yield _between(EdgeTable.read(edges_path(self._folder("fragments"), block)), table_of(block), small)
            across = EdgeTable.read(edges_path(self._folder("joins"), block))
            for axis in range(3):
                below = self.blocks.neighbour_below(block, axis)
                if below is not None:
                    both = LookupTable.united(table_of(below), table_of(block))
                    yield _between(across.across([axis]), both, small)

    @property
    def _has_rules(self) -> bool:
        return bool({"dust", "discard"} & set(self.plan.parameters))

    @lazy
    def _merged(self) -> StagePlan:
        return StagePlan.load(self._folder("merged"))

    @lazy
    def _tree(self) -> MergedTree:
        return MergedTree(self._merged)

    @lazy
    def _canonical(self) -> IdMap:
        """From the ids that blocks wrote to those of the fragments, where these were merged all at once."""
        return IdMap.read(stage_folder(self._merged.inputs["graph"], self.plan.workspace) / CANONICAL)

    @lazy
    def _partition(self) -> IdMap:
        return IdMap.read(self._folder("merged") / PARTITION)

    def _folder(self, name: str) -> Path:
        return stage_folder(self.plan.inputs[name], self.plan.workspace)


def lookup_path(folder: Path, block: int) -> Path:
    return folder / "lookup" / f"{block:08d}.arrow"


def _between(edges: EdgeTable, table: LookupTable, small: np.ndarray) -> EdgeTable:
    """The contacts of small segments, from those of fragments."""
    a, b = table.lookup(edges.a).astype(np.uint64), table.lookup(edges.b).astype(np.uint64)
    kept = small[a] | small[b]
    return edges.taken(kept).joined(a[kept], b[kept])


def _taken(found: Iterator[tuple[int, np.ndarray]], wanted: Mapping[int, np.ndarray]) -> IdMap:
    """All that was found for what was wanted of each block."""
    return IdMap.concatenate([IdMap(wanted[block], targets) for block, targets in found])
