"""Fragments to segments."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from axonloom.config.multicut import MulticutSettings
from axonloom.config.settings import Settings


class MergeSettings(Settings):
    """Which pieces are one object."""

    method: Literal["agglomerate", "multicut"] = Field(
        default="agglomerate",
        description="agglomerate: best mean affinity first, down to a threshold; one run holds every threshold. multicut: one "
        "partition of the whole graph by a heuristic (greedy additive edge contraction); it has no thresholds, and another "
        "beta is another run.",
    )
    threshold: Decimal = Field(
        default=Decimal("0.5"),
        ge=0,
        le=1,
        description="Mean affinity (0..1) at and above which two pieces are merged. Of no effect on a multicut.",
    )
    lowest: Decimal = Field(
        default=Decimal("0.05"),
        ge=0,
        le=1,
        description="Mean affinity (0..1) down to which merges are recorded. Any threshold from here up needs no new "
        "agglomeration. Of no effect on a multicut.",
    )
    multicut: MulticutSettings = Field(default=MulticutSettings(), description="Used where merge.method is multicut.")
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
    def _recorded(self) -> MergeSettings:
        if self.method == "agglomerate" and self.threshold < self.lowest:
            raise ValueError(
                f"merge.threshold ({self.threshold}) is below merge.lowest ({self.lowest}), where recording ends: lower "
                "merge.lowest too"
            )
        return self

    @model_validator(mode="after")
    def _dust_can_join(self) -> MergeSettings:
        if self.method == "agglomerate" and self.dust > 1 and self.dust_lowest >= self.threshold:
            raise ValueError(
                f"merge.dust has no effect with merge.dust_lowest ({self.dust_lowest}) at or above merge.threshold "
                f"({self.threshold}): what has such an affinity is merged already; lower merge.dust_lowest"
            )
        return self
