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
    smoothing: Decimal = Field(
        default=Decimal("1.0"),
        ge=0,
        le=4,
        description="Sigma (voxels) of the Gaussian that affinities pass before fragments are cut from them; 0: none. "
        "Noisy predictions need it, or they fall into specks. Merging scores always use the raw values.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> SegmentSettings:
        if self.low > self.high:
            raise ValueError(f"segment.low ({self.low}) must not be above segment.high ({self.high})")
        return self
