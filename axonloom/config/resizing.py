"""Volumes at another voxel size."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from axonloom.config.settings import Settings
from axonloom.config.volumes import Nanometres

Shape = tuple[PositiveInt, PositiveInt, PositiveInt]


class ResizeSettings(Settings):
    """What `axonloom tools resize` makes of a volume."""

    source: str | None = Field(default=None, description="The volume, as in volumes.image.path.")
    version: str | None = Field(
        default=None, description="As volumes.image.version, for volumes of more files than axonloom lists."
    )
    target: str | None = Field(
        default=None, description="The new volume: NAME.zarr, NAME.h5, NAME.tif or precomputed://FOLDER."
    )
    source_voxel_size: Nanometres | None = Field(
        default=None, description="Voxel size (z, y, x) of the source in nm, where it does not say it or says it wrong."
    )
    voxel_size: Nanometres | None = Field(
        default=None, description="Voxel size (z, y, x) to come to, in nm; or set resize.shape."
    )
    shape: Shape | None = Field(default=None, description="Voxels (z, y, x) to come to; or set resize.voxel_size.")
    kind: Literal["auto", "image", "labels"] = Field(
        default="auto",
        description="What is resized: labels keep their ids, each voxel that of the nearest. auto: labels for whole numbers of 32 bits or "
        "more, and for the layers that say so.",
    )
    order: Literal[0, 1, 3] = Field(
        default=1, description="Interpolation of images: 0 the nearest voxel, 1 linear, 3 cubic splines."
    )
    anti_aliasing: bool = Field(
        default=True,
        description="Whether an image is smoothed first along axes that become coarser (a gaussian of (factor - 1) / 2 voxels), so that fine "
        "structure does not turn into another.",
    )

    @model_validator(mode="after")
    def _says_one_size(self) -> ResizeSettings:
        if self.voxel_size is not None and self.shape is not None:
            raise ValueError("resize.voxel_size and resize.shape say the size twice: set one of them")
        return self
