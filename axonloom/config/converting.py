"""Volumes from one format to another."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from axonloom.config.settings import Settings
from axonloom.config.volumes import Nanometres, RegionSettings, Triple

Chunk = tuple[PositiveInt, PositiveInt, PositiveInt]


class ConvertSettings(Settings):
    """What `axonloom tools convert` and `axonloom tools crop` copy."""

    source: str | None = Field(default=None, description="The volume, as in volumes.image.path.")
    version: str | None = Field(
        default=None, description="As volumes.image.version, for volumes of more files than axonloom lists."
    )
    target: str | None = Field(
        default=None, description="The new volume: NAME.zarr, NAME.h5, NAME.tif or precomputed://FOLDER."
    )
    region: RegionSettings | None = Field(default=None, description="Copy this part only. Default: all of it.")
    dtype: (
        Literal["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"] | None
    ) = Field(
        default=None,
        description="Type of the copy, which must hold every value exactly, floats rounded to float32 apart. Default: the source's.",
    )
    voxel_size: Nanometres | None = Field(
        default=None, description="Voxel size (z, y, x) in nm, where the source does not say it or says it wrong."
    )
    offset: Triple | None = Field(
        default=None,
        description="Where the first voxel (z, y, x) lies in the data set, in voxels. Default: as the source says.",
    )
    chunk: Chunk | None = Field(
        default=None, description="Stored chunk (z, y, x voxels) of zarr and precomputed. Default: at most 64 an axis."
    )


class ToPrecomputedSettings(ConvertSettings):
    """What `axonloom tools to-precomputed` makes a Neuroglancer layer of."""

    target: str | None = Field(default=None, description="The new layer: precomputed://FOLDER, or the folder alone.")
    type: Literal["auto", "image", "segmentation"] = Field(
        default="auto", description="Of the layer. auto: a segmentation for uint32 and uint64, else an image."
    )
    encoding: Literal["auto", "raw", "png", "jpeg", "compressed_segmentation"] = Field(
        default="auto",
        description="Of the chunks. auto: compressed_segmentation for segmentations (ids of fewer bits become uint32), raw for images. "
        "jpeg is smaller and changes values.",
    )
    quality: Annotated[int, Field(ge=1, le=100)] = Field(
        default=90, description="Quality of jpeg, from 1 (small) to 100 (nearly as the source)."
    )
    sharded: bool = Field(
        default=False, description="Whether many chunks share a file: for large layers on object stores."
    )
