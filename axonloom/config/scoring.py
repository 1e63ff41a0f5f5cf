"""How a validation volume is segmented and scored while a network is trained."""

from __future__ import annotations

from decimal import Decimal
from math import prod
from typing import Annotated, Self

from pydantic import Field, model_validator

from axonloom.config.evaluate import EvaluateSettings, Threshold
from axonloom.config.merge import MergeScore, MergeSettings
from axonloom.config.segment import SegmentSettings
from axonloom.config.settings import Settings

Voxels = Annotated[int, Field(ge=1)]

#: About 50 GB of memory.
MOST_VOXELS = 10**9


class ScoringSettings(Settings):
    """Segmentation of what is held out, as infer, segment and merge make it by default; what you set there has to be said here too."""

    every: int = Field(default=1, ge=1, description="Validations from one scoring to the next; the last one is scored.")
    region: tuple[Voxels, Voxels, Voxels] = Field(
        default=(64, 192, 192),
        description="Most voxels (z, y, x) that are predicted and segmented of each held-out part: its middle, as a volume of its own. "
        "Time and memory of a scoring grow with it.",
    )
    parts: int = Field(
        default=4, ge=1, description="Most held-out parts that are scored; whole validation volumes come first."
    )
    low: Decimal = Field(
        default=SegmentSettings().low,
        ge=0,
        le=1,
        description="Affinity (0..1) below which two voxels never join, as segment.low.",
    )
    high: Decimal = Field(
        default=SegmentSettings().high,
        ge=0,
        le=1,
        description="Affinity (0..1) at and above which two voxels always join, as segment.high.",
    )
    absorb: int = Field(
        default=SegmentSettings().absorb,
        ge=0,
        description="Voxels of which smaller fragments join a neighbour first, as segment.absorb.",
    )
    score: MergeScore = Field(default=MergeSettings().score, description="How two pieces are scored, as merge.score.")
    thresholds: tuple[Threshold, ...] = Field(
        default=EvaluateSettings().thresholds,
        min_length=1,
        description="Merge thresholds (0..1) of which the best counts; all come from one agglomeration.",
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if prod(self.region) > MOST_VOXELS:
            raise ValueError(f"scoring.region {self.region} is segmented in memory at once: at most 10^9 voxels")
        if self.low > self.high:
            raise ValueError(f"scoring.low ({self.low}) must not be above scoring.high ({self.high})")
        return self
