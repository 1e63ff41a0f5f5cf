"""The table of all segments: how large each is, and where; also for Neuroglancer, in the user's layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from axonloom.assembly.gathering import gathered
from axonloom.assembly.segment_properties import properties_path, write_segment_properties
from axonloom.assembly.segment_table import SegmentTable
from axonloom.geometry import Block
from axonloom.lazy import lazy
from axonloom.stage import StagePlan
from axonloom.stages.apply import segments_path
from axonloom.stages.inputs import stage_folder, stage_input
from axonloom.stages.layer_stage import LayerStage
from axonloom.stages.whole import one_block

TABLE = "segments.parquet"
#: Segments that a layer lists, the largest: a browser reads all of them at once.
LISTED = 100_000


class SegmentsStage(LayerStage):
    name = "segments"
    version = 1
    voxels_per_second = 1e9
    bytes_read, bytes_written, memory = 0.05, 0.05, 0.1

    @classmethod
    def planned(cls, apply: StagePlan) -> StagePlan:
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={"layer": apply.parameters["layer"], "listed": LISTED},
            inputs={"apply": stage_input(apply)},
            grid=one_block(apply.grid),
            workspace=apply.workspace,
        )

    @lazy
    def apply(self) -> StagePlan:
        return StagePlan.load(stage_folder(self.plan.inputs["apply"], self.plan.workspace))

    def prepare(self) -> None:
        self.bind()

    def process(self, block: Block) -> Mapping[str, Any]:
        paths = (segments_path(self.apply.folder, i) for i in range(len(self.apply.grid)))
        found = gathered(map(SegmentTable.read, paths), SegmentTable.added_up)
        found.write(self.plan.folder / TABLE, for_others=True)
        listed = found.largest(self.plan.parameters["listed"])
        # Asked again, as late as can be: this process may have slept since the block began, and lost the layer meanwhile.
        self.permit()
        write_segment_properties(self.layer.folder, listed, self.layer.volume().offset)
        self.permit()
        return {"segments": len(found), "listed": len(listed)}

    def files(self, block: Block) -> list[Path]:
        return [self.plan.folder / TABLE, properties_path(self.layer.folder)]
