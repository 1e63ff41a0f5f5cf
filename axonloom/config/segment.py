"""Affinities to fragments."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from axonloom.config.settings import Settings

#: The names of :data:`axonloom.segmentation.waterz_backend.SCORES`, which a form should not have to wait for.
WaterzScore = Literal[
    "mean",
    "aff10_his256",
    "aff15_his256",
    "aff20_his256",
    "aff25_his256",
    "aff30_his256",
    "aff35_his256",
    "aff40_his256",
    "aff45_his256",
    "aff50_his256",
    "aff55_his256",
    "aff60_his256",
    "aff65_his256",
    "aff70_his256",
    "aff75_his256",
    "aff80_his256",
    "aff85_his256",
    "aff90_his256",
    "aff95_his256",
]
HaloVoxels = Annotated[int, Field(ge=0)]
Halo = tuple[HaloVoxels, HaloVoxels, HaloVoxels]


class WaterzSettings(Settings):
    """Each block by waterz. Approximate at seams: another blocks.shape or halo gives another segmentation."""

    score: WaterzScore = Field(
        default="mean",
        description="How two regions are scored: by their mean affinity, or by a quantile of it (aff75_his256: the value that "
        "75 % of the affinities between them do not exceed).",
    )
    threshold: Decimal = Field(
        default=Decimal("0.5"),
        ge=0,
        le=1,
        description="Score (as an affinity, 0..1) down to which regions are merged inside a block; waterz itself counts 1 "
        "minus that.",
    )
    halo: Halo = Field(
        default=(8, 32, 32),
        description="Voxels (z, y, x) that a block is segmented beyond its own on each side. Neighbouring blocks share twice "
        "that, and are joined by it.",
    )
    per_section: bool = Field(
        default=False,
        description="Watershed each section (z) by itself and merge the pieces in 3-D: for sections that are thick or "
        "misaligned.",
    )


class MutexSettings(Settings):
    """Each block by mutex watershed. Approximate at seams: another blocks.shape or halo gives another segmentation."""

    halo: Halo = Field(
        default=(8, 32, 32),
        description="Voxels (z, y, x) that a block is segmented beyond its own on each side; better more than the longest of "
        "volumes.affinities.offsets. Neighbouring blocks share twice that, and are joined by it.",
    )


class SegmentSettings(Settings):
    """Which voxels join which, before any merging of pieces."""

    method: Literal["watershed", "waterz", "mutex"] = Field(
        default="watershed",
        description="watershed: fragments, the same for every blocking, that are agglomerated over the whole volume. waterz "
        "and mutex segment each block alone and are approximate at seams: mutex is the mutex watershed, for affinities with "
        "long-range offsets.",
    )

    low: Decimal = Field(
        default=Decimal("0.05"), ge=0, le=1, description="Affinity (0..1) below which two voxels never join."
    )
    high: Decimal = Field(
        default=Decimal("0.99"), ge=0, le=1, description="Affinity (0..1) at and above which two voxels always join."
    )
    absorb: int = Field(
        default=50,
        ge=0,
        description="Voxels. Fragments of fewer join a neighbour over their strongest contact (not below low) before "
        "anything is scored for merging; 0: none do. Otherwise most fragments are specks in membranes. Method watershed only.",
    )
    smoothing: Decimal = Field(
        default=Decimal("0"),
        ge=0,
        le=4,
        description="Sigma (voxels) of the Gaussian that affinities pass before fragments are cut from them; 0: none. "
        "It may help noisy predictions, and it harms membranes a voxel or two thin. Merging scores always use the raw values. "
        "Method watershed only.",
    )
    waterz: WaterzSettings = Field(default=WaterzSettings(), description="For method waterz.")
    mutex: MutexSettings = Field(default=MutexSettings(), description="For method mutex.")

    @model_validator(mode="after")
    def _ordered(self) -> SegmentSettings:
        if self.low > self.high:
            raise ValueError(f"segment.low ({self.low}) must not be above segment.high ({self.high})")
        if self.smoothing and self.method != "watershed":
            raise ValueError(f"segment.smoothing is for method watershed: set it to 0 for method {self.method}")
        return self
