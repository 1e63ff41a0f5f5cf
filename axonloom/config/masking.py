"""Volumes without what lies outside a mask."""

from __future__ import annotations

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
