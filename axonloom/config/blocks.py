"""How a volume is cut into units of work."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from axonloom.config.settings import Settings


class BlocksSettings(Settings):
    """Blocks of segmentation and merging. Their shape changes no voxel of the result, only memory and time (except where
    segment.method is waterz or mutex)."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        default=(128, 128, 128),
        description="Voxels of a block (z, y, x): a multiple of the output's chunk. 25 to 55 bytes of memory a voxel.",
    )
