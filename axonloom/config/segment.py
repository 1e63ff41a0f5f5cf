"""Affinities to fragments."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field, model_validator

from axonloom.config.settings import Settings


class SegmentSettings(Settings):
    """Which voxels join which, before any merging of pieces."""

    low: Decimal = Field(
        default=Decimal("0.05"), ge=0, le=1, description="Affinity (0..1) below which two voxels never join."
    )
    high: Decimal = Field(
        default=Decimal("0.99"), ge=0, le=1, description="Affinity (0..1) at and above which two voxels always join."
    )
    absorb: int = Field(
        default=50,
        ge=0,
        description="Voxels. Fragments of fewer join the neighbour of the highest mean affinity (not below low) before "
        "anything is scored for merging; 0: none do. Otherwise most fragments are specks in membranes.",
    )
    smoothing: Decimal = Field(
        default=Decimal("0"),
        ge=0,
        le=4,
        description="Sigma (voxels) of the Gaussian that affinities pass before fragments are cut from them; 0: none. "
        "It may help noisy predictions, and it harms membranes a voxel or two thin. Merging scores always use the raw values.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> SegmentSettings:
        if self.low > self.high:
            raise ValueError(f"segment.low ({self.low}) must not be above segment.high ({self.high})")
        return self
