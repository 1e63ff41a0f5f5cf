"""More than one volume to train on, and volumes to validate on."""

from __future__ import annotations

from pydantic import Field

from axonloom.config.settings import Settings
from axonloom.config.volumes import RegionSettings, VolumeSettings


class LabelledVolumeSettings(Settings):
    """An image with labels."""

    image: VolumeSettings = Field(description="Grey levels.")
    labels: VolumeSettings = Field(description="An object id a voxel, in the shape of the image.")
    valid: VolumeSettings | None = Field(
        default=None,
        description="Nonzero where labels are right, in their shape; elsewhere nothing is learned. Default: everywhere.",
    )


class TrainingVolumeSettings(LabelledVolumeSettings):
    """An image with labels, and how much of it is shown."""

    weight: float = Field(
        default=1.0, ge=0, description="How often a voxel of it is shown, relative to a voxel of the other volumes."
    )
    held_out: RegionSettings | None = Field(
        default=None, description="A box of it that is kept for validation, instead of what train.validation says."
    )


class ValidationVolumeSettings(LabelledVolumeSettings):
    """An image with labels that is never trained on."""

    valid: VolumeSettings | None = Field(
        default=None,
        description="Nonzero where labels are right, in their shape; elsewhere nothing is judged. Default: everywhere.",
    )
