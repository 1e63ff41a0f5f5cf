"""Segments against labels."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from axonloom.config.settings import Settings

Threshold = Annotated[Decimal, Field(ge=0, le=1)]


class EvaluateSettings(Settings):
    """How a segmentation is scored. Label 0 is never scored."""

    predicted_zero: Literal["segment", "singletons", "drop"] = Field(
        default="segment",
        description="What a labelled voxel that the segmentation leaves at 0 counts as: part of one more segment (as in "
        "scikit-image), a segment of its own, or not scored. It changes VOI by 0.1 to 0.2 bits: compare equal settings only.",
    )
    thresholds: tuple[Threshold, ...] = Field(
        default=tuple(Decimal(n) / 20 for n in range(2, 19)),
        description="Merge thresholds (mean affinity, 0..1) to score besides merge.threshold; those below merge.lowest are "
        "left out.",
    )
