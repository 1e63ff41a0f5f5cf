"""Coarser scales of a precomputed layer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from axonloom.config.settings import Settings

Factor = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


class DownsampleSettings(Settings):
    """What `axonloom tools downsample` adds to a layer, so that a viewer can look at it from afar."""

    layer: str | None = Field(
        default=None,
        description="The precomputed layer that gets the scales, which are made from its finest, or from the one named by ?mip=.",
    )
    version: str | None = Field(
        default=None,
        description="Any text that changes when its data change: for layers of more files than axonloom lists.",
    )
    mips: int = Field(default=3, ge=1, le=16, description="How many scales to add, each made from the one before.")
    factor: Factor | None = Field(
        default=None,
        description="How much coarser each is (z, y, x). Default: 2, on a thick axis 1 until the others have caught up.",
    )
    method: Literal["auto", "mean", "mode"] = Field(
        default="auto",
        description="What a coarser voxel is: the mean of those it covers (whole numbers rounded, halves to even), or the most "
        "frequent (of equally frequent ones the smallest). auto: mode for segmentations, mean for images.",
    )

    @model_validator(mode="after")
    def _makes_coarser(self) -> DownsampleSettings:
        if self.factor is not None and max(self.factor) == 1:
            raise ValueError("downsample.factor (1, 1, 1) makes nothing coarser: one of the three must be above 1")
        return self
