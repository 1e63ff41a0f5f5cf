"""Where volumes lie and what to know about them that their files do not say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from axonloom.config.settings import Settings

Triple = tuple[int, int, int]
Nanometres = tuple[
    Annotated[float, Field(gt=0)],
    Annotated[float, Field(gt=0)],
    Annotated[float, Field(gt=0)],
]


class RegionSettings(Settings):
    """A box of a volume, in its own voxels, zyx."""

    start: Triple = Field(description="First voxel (z, y, x).")
    stop: Triple = Field(description="One past the last voxel (z, y, x).")

    @model_validator(mode="after")
    def _has_voxels(self) -> RegionSettings:
        if any(a < 0 or a >= b for a, b in zip(self.start, self.stop, strict=True)):
            raise ValueError(f"a region needs 0 <= start < stop on each axis, not start {self.start}, stop {self.stop}")
        return self


class VolumeSettings(Settings):
    """A volume to read."""

    path: str = Field(
        description="Path or URL, such as file.h5:dataset, stack.tif, a folder of TIFF sections, array.zarr or precomputed://."
    )
    voxel_size: Nanometres | None = Field(
        default=None, description="Voxel size (z, y, x) in nm, where the file does not say it or says it wrong."
    )
    region: RegionSettings | None = Field(default=None, description="Use this part only. Default: all of it.")
    version: str | None = Field(
        default=None,
        description="Any text that changes when the data change: for folders of more files than axonloom lists.",
    )


class AffinitySettings(VolumeSettings):
    """Affinities that some program has predicted, its conventions included."""

    channel_order: Literal["zyx", "xyz"] = Field(
        default="zyx", description="Which axis the three channels speak of, in their order."
    )
    value_at: Literal["destination", "source"] = Field(
        default="destination",
        description="Whether the value at a voxel speaks of it and the voxel before it (destination) or after it (source).",
    )
    offsets: tuple[Triple, ...] | None = Field(
        default=None,
        description="One (z, y, x) offset a channel, instead of channel_order and value_at: the value at v speaks of v and "
        "v + offset. Only nearest neighbours are used, except by segment.method mutex.",
    )

    @model_validator(mode="after")
    def _offsets_lead_elsewhere(self) -> AffinitySettings:
        for channel, offset in enumerate(self.offsets or ()):
            if offset == (0, 0, 0):
                raise ValueError(f"the offset of channel {channel} is (0, 0, 0), which joins a voxel to itself")
        return self


class SegmentationSettings(Settings):
    """The segmentation to write."""

    path: str = Field(
        default="precomputed://{workspace}/segmentation",
        description="A Neuroglancer precomputed layer. {workspace} stands for the workspace.",
    )
    chunk: Triple | None = Field(
        default=None,
        description="Stored chunk (z, y, x voxels), which blocks must be multiples of. Default: at most 64, from blocks.shape.",
    )
    mips: int = Field(default=3, ge=0, le=12, description="Coarser scales to add to the full one, each a factor of 2.")


class VolumesSettings(Settings):
    """The volumes of a project."""

    image: VolumeSettings | None = Field(default=None, description="Images to train on and to segment.")
    labels: VolumeSettings | None = Field(
        default=None, description="Ground truth: an object id a voxel. Trains, and scores the result."
    )
    affinities: AffinitySettings | None = Field(
        default=None,
        description="Predicted affinities. Given: inference is skipped. Default: written in the workspace.",
    )
    tissue: VolumeSettings | None = Field(
        default=None,
        description="Nonzero where there is tissue, in the shape of the image or coarser by whole factors (a mip). Inference "
        "gives 0 elsewhere, and does not read blocks without. Default: everywhere.",
    )
    mask: VolumeSettings | None = Field(
        default=None, description="Nonzero where to segment, in the shape of the affinities. Default: everywhere."
    )
    segmentation: SegmentationSettings = Field(default=SegmentationSettings(), description="The result.")
