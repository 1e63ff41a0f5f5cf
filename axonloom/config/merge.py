"""Fragments to segments."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from axonloom.config.multicut import MulticutSettings
from axonloom.config.settings import Settings

MergeScore = Literal[
    "mean",
    "aff10_his32",
    "aff15_his32",
    "aff20_his32",
    "aff25_his32",
    "aff30_his32",
    "aff35_his32",
    "aff40_his32",
    "aff45_his32",
    "aff50_his32",
    "aff55_his32",
    "aff60_his32",
    "aff65_his32",
    "aff70_his32",
    "aff75_his32",
    "aff80_his32",
    "aff85_his32",
    "aff90_his32",
    "aff95_his32",
]


def percent_of(score: str) -> int | None:
    """The quantile of a score by its name (aff75_his32: 75); None for the mean."""
    return None if score == "mean" else int(score.removeprefix("aff").split("_")[0])


class OverlapSettings(Settings):
    """Which labels of neighbouring blocks are one object: those that are each other's best match (most voxels) in the shared halo."""

    measure: Literal["iou", "containment"] = Field(
        default="iou",
        description="iou: voxels in both / voxels in either. containment: voxels in both / voxels of the smaller one, which "
        "also joins what one of the blocks saw only a part of. Both are in the table.",
    )
    minimum: Decimal = Field(
        default=Decimal("0.5"), ge=0, le=1, description="Fraction (0..1) at and above which a best match is joined."
    )


class MergeSettings(Settings):
    """Which pieces are one object."""

    method: Literal["agglomerate", "multicut", "overlap"] | None = Field(
        default=None,
        description="agglomerate: best mean affinity first, down to a threshold; one run holds every threshold. multicut: one "
        "partition of the whole graph by a heuristic (greedy additive edge contraction), without thresholds. Both are the same "
        "for every blocking. overlap: for blocks that were segmented alone, by the labels in their shared halo; approximate at "
        "seams. Default: agglomerate, or overlap after segment.method waterz and mutex.",
    )
    score: MergeScore = Field(
        default="mean",
        description="How two pieces are scored: by the mean affinity between them, or by a quantile of it (aff75_his32: the "
        "value that 75 % of the affinities between them do not exceed, from a histogram of 32 bins). Another score than mean "
        "makes fragments write histograms, so these are made anew. For method agglomerate.",
    )
    overlap: OverlapSettings = Field(default=OverlapSettings(), description="For method overlap.")
    threshold: Decimal = Field(
        default=Decimal("0.5"),
        ge=0,
        le=1,
        description="Score (mean affinity, unless merge.score says otherwise; 0..1) at and above which two pieces are merged. "
        "For method agglomerate.",
    )
    lowest: Decimal = Field(
        default=Decimal("0.05"),
        ge=0,
        le=1,
        description="Score (0..1) down to which merges are recorded. Any threshold from here up needs no new "
        "agglomeration. For method agglomerate.",
    )
    part: Decimal = Field(
        default=Decimal(20),
        gt=0,
        description="Megavoxels that one step of the agglomeration merges at once, before what is left of several such parts "
        "is merged: its memory is up to 40 bytes a voxel. The result is the same for any. For method agglomerate.",
    )
    multicut: MulticutSettings = Field(default=MulticutSettings(), description="For method multicut.")
    dust: int = Field(
        default=0,
        ge=0,
        description="Voxels. Segments of fewer join the neighbour of the highest mean affinity (not below dust_lowest), after "
        "everything else is merged; 0: none do.",
    )
    dust_lowest: Decimal = Field(
        default=Decimal("0.1"),
        ge=0,
        le=1,
        description="Mean affinity (0..1) below which no dust joins anything. Measured best of 0.02 to 0.2: 0.1.",
    )
    discard: int = Field(
        default=0,
        ge=0,
        description="Voxels. Segments that are still of fewer become background (0); 0: none do.",
    )

    @model_validator(mode="after")
    def _scored(self) -> MergeSettings:
        if self.score != "mean" and self.method not in (None, "agglomerate"):
            raise ValueError(f"merge.score is for method agglomerate: set it to mean for method {self.method}")
        return self

    @model_validator(mode="after")
    def _recorded(self) -> MergeSettings:
        if self.method in (None, "agglomerate") and self.threshold < self.lowest:
            raise ValueError(
                f"merge.threshold ({self.threshold}) is below merge.lowest ({self.lowest}), where recording ends: lower "
                "merge.lowest too"
            )
        return self

    @model_validator(mode="after")
    def _dust_can_join(self) -> MergeSettings:
        if self.method in (None, "agglomerate") and self.dust > 1 and self.dust_lowest >= self.threshold:
            raise ValueError(
                f"merge.dust has no effect with merge.dust_lowest ({self.dust_lowest}) at or above merge.threshold "
                f"({self.threshold}): what has such an affinity is merged already; lower merge.dust_lowest"
            )
        return self
