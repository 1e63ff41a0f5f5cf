"""What is asked for when a volume is created: checked once, the same for every format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from axonloom.geometry import Zyx
from axonloom.volumes.record import VolumeRecord

#: Voxels an axis of a stored chunk, where none is asked for.
CHUNK = 64


@dataclass(frozen=True)
class LayerLayout:
    """How a new precomputed layer stores its voxels.

    Attributes
    ----------
    kind : "image", "segmentation" or None
        None: a segmentation for uint32 and uint64.
    encoding : "raw", "png", "jpeg", "compressed_segmentation" or None
        None: compressed_segmentation for segmentations, raw for images.
    quality : int
        Of jpeg, 1 to 100.
    sharded : bool
        Whether many chunks share a file.
    """

    kind: str | None = None
    encoding: str | None = None
    quality: int = 90
    sharded: bool = False


@dataclass(frozen=True)
class NewVolume:
    """A volume of zeros to be made.

    Attributes
    ----------
    shape : (z, y, x) voxels
    dtype : numpy dtype
    channels : int or None
    chunk : (z, y, x) or None
        None: as the format likes it.
    record : VolumeRecord
    overwrite : bool
        Whether a volume that lies there may be removed.
    quick : bool
        Whether to pack in half the time, to twice the bytes, where the format has a choice.
    layout : LayerLayout or None
        Of precomputed layers.
    """

    shape: Zyx
    dtype: np.dtype[Any]
    channels: int | None
    chunk: Zyx | None
    record: VolumeRecord
    overwrite: bool
    quick: bool = False
    layout: LayerLayout | None = None

    @property
    def array_shape(self) -> tuple[int, ...]:
        """(c, z, y, x), or (z, y, x) without channels."""
        return (*(() if self.channels is None else (self.channels,)), *self.shape)

    @property
    def chunk_within(self) -> Zyx:
        """The chunk, or cubes of :data:`CHUNK` that are no larger than the volume."""
        return self.chunk or cast(Zyx, tuple(min(CHUNK, n) for n in self.shape))
