"""A volume as a folder of overlapping files, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from axonloom.config.settings import Settings
from axonloom.config.volumes import RegionSettings

Voxels = tuple[PositiveInt, PositiveInt, PositiveInt]
Overlap = tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]


class SplitSettings(Settings):
    """What `axonloom tools split` cuts a volume into."""

    source: str | None = Field(default=None, description="The volume, as in volumes.image.path.")
    version: str | None = Field(
        default=None, description="As volumes.image.version, for volumes of more files than axonloom lists."
    )
    target: Path | None = Field(
        default=None, description="The folder that gets the files; new, or made by the same split."
    )
    block: Voxels = Field(default=(128, 512, 512), description="Voxels (z, y, x) of a block without what overlaps.")
    overlap: Overlap = Field(
        default=(8, 32, 32),
        description="Voxels (z, y, x) that a file holds beyond its block on either side, within the volume.",
    )
    format: Literal["tif", "h5"] = Field(default="tif", description="Of the files.")


class PredictSettings(Settings):
    """What `axonloom tools predict` runs a network over: each file of a folder by itself."""

    source: Path | None = Field(
        default=None, description="A folder of blocks: axonloom's, or with PyTorch Connectomics' names."
    )
    target: Path | None = Field(
        default=None, description="The folder that gets an HDF5 file for each; new, or made by the same run."
    )


class JoinSettings(Settings):
    """How `axonloom tools join` puts a folder of blocks together."""

    source: Path | None = Field(default=None, description="The folder.")
    target: str | None = Field(
        default=None, description="The volume to write: precomputed://FOLDER, NAME.zarr, NAME.h5 or NAME.tif."
    )
    how: Literal["blend", "crop"] = Field(
        default="blend",
        description="Where files overlap: blend takes the mean, weighted by the distance to each file's ends; crop takes each voxel from "
        "the file whose block it belongs to. Labels need crop.",
    )
    region: RegionSettings | None = Field(
        default=None,
        description="The voxels to join, counted as the files' names count them; any that no file holds are named, and nothing is "
        "written. Default: all of the index's volume; without an index the box around all files, wherever it begins.",
    )
    voxel_size: Annotated[tuple[float, float, float] | None, Field()] = Field(
        default=None, description="Voxel size (z, y, x) in nm, where the folder has no index that says it."
    )
