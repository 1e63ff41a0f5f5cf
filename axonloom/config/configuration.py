"""The whole configuration of a project: one file, one model."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from axonloom.config.blocks import BlocksSettings
from axonloom.config.compute import ComputeSettings
from axonloom.config.evaluate import EvaluateSettings
from axonloom.config.failures import FailuresSettings
from axonloom.config.infer import InferSettings
from axonloom.config.merge import MergeSettings
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
    compute: ComputeSettings = Field(default=ComputeSettings(), description="Workers.")
    failures: FailuresSettings = Field(default=FailuresSettings(), description="When to give a stage up.")
