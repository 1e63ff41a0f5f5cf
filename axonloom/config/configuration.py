"""The whole configuration of a project: one file, one model."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from axonloom.config.block_files import JoinSettings, PredictSettings, SplitSettings
from axonloom.config.blocks import BlocksSettings
from axonloom.config.compute import ComputeSettings
from axonloom.config.converting import ConvertSettings, ToPrecomputedSettings
from axonloom.config.downsample import DownsampleSettings
from axonloom.config.evaluate import EvaluateSettings
from axonloom.config.failures import FailuresSettings
from axonloom.config.infer import InferSettings
from axonloom.config.masking import ApplyMaskSettings, MakeMaskSettings
from axonloom.config.merge import MergeSettings
from axonloom.config.resizing import ResizeSettings
from axonloom.config.segment import SegmentSettings
from axonloom.config.settings import Settings
from axonloom.config.train import TrainSettings
from axonloom.config.volumes import VolumesSettings


class Configuration(Settings):
    """What to segment, how, and where the work is kept."""

    workspace: Path = Field(
        default=Path("work"), description="Folder for everything made on the way: ledger, tables, checkpoints, caches."
    )
    volumes: VolumesSettings = Field(default=VolumesSettings(), description="Where the volumes lie.")
    train: TrainSettings = Field(default=TrainSettings(), description="Images and labels to a network.")
    infer: InferSettings = Field(default=InferSettings(), description="Images to affinities.")
    blocks: BlocksSettings = Field(default=BlocksSettings(), description="Units of work.")
    segment: SegmentSettings = Field(default=SegmentSettings(), description="Affinities to fragments.")
    merge: MergeSettings = Field(default=MergeSettings(), description="Fragments to segments.")
    evaluate: EvaluateSettings = Field(default=EvaluateSettings(), description="Segments against labels.")
    downsample: DownsampleSettings = Field(
        default=DownsampleSettings(), description="A tool: coarser scales for a layer that there is."
    )
    split: SplitSettings = Field(default=SplitSettings(), description="A tool: a volume to overlapping files.")
    predict: PredictSettings = Field(
        default=PredictSettings(),
        description="A tool: a network over a folder of files, each by itself; how, says infer.",
    )
    join: JoinSettings = Field(default=JoinSettings(), description="A tool: overlapping files to a volume.")
    to_precomputed: ToPrecomputedSettings = Field(
        default=ToPrecomputedSettings(), description="A tool: a volume to a Neuroglancer layer."
    )
    convert: ConvertSettings = Field(
        default=ConvertSettings(), description="A tool: a volume, or a part of it, to another format."
    )
    resize: ResizeSettings = Field(
        default=ResizeSettings(), description="A tool: a volume to another voxel size or shape."
    )
    make_mask: MakeMaskSettings = Field(
        default=MakeMaskSettings(), description="A tool: a mask of affinities or grey levels."
    )
    apply_mask: ApplyMaskSettings = Field(
        default=ApplyMaskSettings(), description="A tool: a volume without what lies outside a mask."
    )
    compute: ComputeSettings = Field(default=ComputeSettings(), description="Workers.")
    failures: FailuresSettings = Field(default=FailuresSettings(), description="When to give a stage up.")

    @model_validator(mode="after")
    def _methods_fit(self) -> Configuration:
        segment, merge = self.segment.method, self.merge.method
        if segment == "watershed" and merge == "overlap":
            raise ValueError(
                "merge.method overlap joins blocks that were segmented alone, and segment.method watershed shares no halo: set "
                "segment.method to waterz or mutex, or merge.method to agglomerate"
            )
        if segment != "watershed" and merge not in (None, "overlap"):
            raise ValueError(
                f"segment.method {segment} leaves no region graph for merge.method {merge}: set merge.method to overlap, or "
                "segment.method to watershed"
            )
        if segment != "watershed" and (self.merge.dust > 1 or self.merge.discard > 1):
            raise ValueError(
                f"merge.dust and merge.discard are for segments of a region graph, which segment.method {segment} does not "
                "make: set both to 0"
            )
        if segment != "watershed" and self.merge.score != "mean":
            raise ValueError(
                f"merge.score is for the region graph, which segment.method {segment} does not make: set it to mean (waterz has "
                "segment.waterz.score)"
            )
        if segment == "mutex" and not self._has_long_range():
            raise ValueError(
                "segment.method mutex needs long-range affinities: set volumes.affinities.path and volumes.affinities.offsets, "
                "one (z, y, x) a channel, some of more than one voxel"
            )
        return self

    def _has_long_range(self) -> bool:
        given = self.volumes.affinities
        return given is not None and any(sum(map(abs, offset)) > 1 for offset in given.offsets or ())
