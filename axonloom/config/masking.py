"""Masks: made of affinities or grey levels, and applied to volumes."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from axonloom.config.settings import Settings
from axonloom.config.volumes import Nanometres


class ApplyMaskSettings(Settings):
    """What `axonloom tools apply-mask` blanks."""

    source: str | None = Field(default=None, description="The volume, as in volumes.image.path.")
    mask: str | None = Field(
        default=None,
        description="Nonzero where voxels are kept: a volume of the source's shape, or one of another voxel size that covers it.",
    )
    target: str | None = Field(
        default=None,
        description="The new volume. Of a precomputed layer all scales are masked, with its chunks, encodings and sharding.",
    )
    version: str | None = Field(
        default=None, description="As volumes.image.version, for a source of more files than axonloom lists."
    )
    mask_voxel_size: Nanometres | None = Field(
        default=None, description="Voxel size (z, y, x) of the mask in nm, where it does not say it or says it wrong."
    )
    outside: int = Field(default=0, description="The value that voxels get where the mask is 0.")


Sigma = Annotated[float, Field(ge=0, le=64)]


class MakeMaskSettings(Settings):
    """What `axonloom tools make-mask` makes of affinities, or of any volume of grey levels."""

    source: str | None = Field(default=None, description="The volume, as in volumes.image.path.")
    version: str | None = Field(
        default=None, description="As volumes.image.version, for volumes of more files than axonloom lists."
    )
    target: str | None = Field(
        default=None,
        description="The new volume, uint8, 1 in the mask and 0 elsewhere: NAME.zarr, NAME.h5, NAME.tif or precomputed://FOLDER.",
    )
    reduce: Literal["mean", "min", "max"] = Field(default="mean", description="What becomes of several channels.")
    smoothing: tuple[Sigma, Sigma, Sigma] = Field(
        default=(0.0, 0.0, 0.0), description="Sigma (z, y, x) in voxels of a gaussian before the threshold; 0: none."
    )
    threshold: Decimal = Field(
        default=Decimal("0.5"),
        ge=0,
        le=1,
        description="At and above which a voxel is in the mask: 0..1, of the full scale of whole numbers.",
    )
    below: bool = Field(default=False, description="Whether the mask is where values are below the threshold instead.")
    min_size: int = Field(
        default=0, ge=0, description="Pieces of the mask (6-connected) of fewer voxels are removed; 0: none."
    )
    holes: int = Field(
        default=0, ge=0, description="Then holes in it (6-connected) of fewer voxels are filled; 0: none."
    )
