"""The ID pool of blocks that were segmented alone: labels that are each other's best match become one segment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.id_map import IdMap
from axonloom.assembly.lookup_table import LookupTable, numbered
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.overlap_table import OverlapTable, mutual_best
from axonloom.assembly.union_find import canonical_ids
from axonloom.config.merge import OverlapSettings
from axonloom.geometry import Block
from axonloom.lazy import lazy
from axonloom.stage import Stage, StagePlan
from axonloom.stages.fragments_volume import objects_path
from axonloom.stages.inputs import stage_folder, stage_input
from axonloom.stages.overlap import overlaps_path
from axonloom.stages.pool import lookup_path
from axonloom.stages.whole import one_block

#: Kept with the layer: what whoever finds it should know.
REMARKS = {
    "seams": "approximate: blocks were segmented alone and joined where their labels overlap; other blocks give another "
    "segmentation"
}


class StitchStage(Stage):
    name = "stitch"
    version = 2
    bytes_read, bytes_written, memory = 0.2, 0.1, 10.0

    @classmethod
    def planned(cls, labels: StagePlan, overlap: StagePlan, settings: OverlapSettings) -> StagePlan:
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={
                "measure": settings.measure,
                "minimum": format(settings.minimum.normalize(), "f"),
                "remarks": REMARKS,
            },
            inputs={"labels": stage_input(labels), "overlaps": stage_input(overlap)},
            grid=one_block(labels.grid),
            workspace=labels.workspace,
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        labels = stage_folder(self.plan.inputs["labels"], self.plan.workspace)
        overlap = stage_folder(self.plan.inputs["overlaps"], self.plan.workspace)
        measure, minimum = self.plan.parameters["measure"], self.plan.parameters["minimum"]
        blocks = range(self._n_blocks)
        objects = [ObjectTable.read(objects_path(labels, b)) for b in blocks]
        ids = ObjectTable.concatenate(objects).ids
        joins = np.concatenate(
            [mutual_best(OverlapTable.read(overlaps_path(overlap, b)), measure, minimum) for b in blocks]
        )
        segments = IdMap(ids, numbered(canonical_ids(ids, joins)))
        count = int(segments.targets.max()) if len(ids) else 0
        for b in blocks:
            own = objects[b].ids
            LookupTable.of(own, segments.lookup(own), count).write(lookup_path(self.plan.folder, b))
        return {"labels": len(ids), "joins": len(joins), "segments": count}

    def files(self, block: Block) -> list[Path]:
        return [lookup_path(self.plan.folder, b) for b in range(self._n_blocks)]

    @lazy
    def _n_blocks(self) -> int:
        return len(StagePlan.load(stage_folder(self.plan.inputs["labels"], self.plan.workspace)).grid)
