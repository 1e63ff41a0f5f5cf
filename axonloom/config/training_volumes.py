"""More than one volume to train on."""

from __future__ import annotations

from pydantic import Field

from axonloom.config.settings import Settings
from axonloom.config.volumes import RegionSettings, VolumeSettings


class TrainingVolumeSettings(Settings):
    """An image with labels, and how much of it is shown."""

    image: VolumeSettings = Field(description="Grey levels.")
    labels: VolumeSettings = Field(description="An object id a voxel, in the shape of the image.")
    valid: VolumeSettings | None = Field(
        default=None,
        description="Nonzero where labels are right, in their shape; elsewhere nothing is learned. Default: everywhere.",
    )
    weight: float = Field(
        default=1.0, ge=0, description="How often a voxel of it is shown, relative to a voxel of the other volumes."
    )
    held_out: RegionSettings | None = Field(
        default=None, description="A box of it that is kept for validation, instead of what train.validation says."
    )
