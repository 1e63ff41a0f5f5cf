"""Fragments to segments."""

from __future__ import annotations

from decimal import Decimal

from pydantic import Field, model_validator

from axonloom.config.settings import Settings


class MergeSettings(Settings):
    """Which pieces are one object."""

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
