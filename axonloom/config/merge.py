"""Fragments to segments."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from axonloom.config.settings import Settings


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

    method: Literal["agglomerate", "overlap"] | None = Field(
        default=None,
        description="agglomerate: the fragments of the whole volume by mean affinity, the same for every blocking. overlap: "
        "blocks that were segmented alone, by the labels in their shared halo; approximate at seams. Default: what suits "
        "segment.method.",
    )
    overlap: OverlapSettings = Field(default=OverlapSettings(), description="For method overlap.")

    threshold: Decimal = Field(
        default=Decimal("0.5"), ge=0, le=1, description="Mean affinity (0..1) at and above which two pieces are merged."
    )
    lowest: Decimal = Field(
        default=Decimal("0.05"),
        ge=0,
        le=1,
        description="Mean affinity (0..1) down to which merges are recorded. Any threshold from here up needs no new "
        "agglomeration.",
    )

    @model_validator(mode="after")
    def _recorded(self) -> MergeSettings:
        if self.threshold < self.lowest:
            raise ValueError(
                f"merge.threshold ({self.threshold}) is below merge.lowest ({self.lowest}), where recording ends: lower "
                "merge.lowest too"
            )
        return self
