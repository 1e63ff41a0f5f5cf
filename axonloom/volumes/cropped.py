"""A box of a volume as a volume of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from axonloom.geometry import Box, Zyx
from axonloom.volumes.volume import Volume, VolumeError


class CroppedVolume(Volume):
    """The voxels of ``box`` of ``volume``, read only; voxel (0, 0, 0) is the box's first.

    Its ``uri`` carries the box and is not one to open: pass the volume itself (it can be pickled).

    Raises
    ------
    VolumeError
        The box is empty or reaches outside.
    """

    writable_by_blocks = False

    def __init__(self, volume: Volume, box: Box) -> None:
        if not volume.box.contains(box) or box.voxels == 0:
            raise VolumeError(
                f"{volume.uri} holds {volume.box} (zyx voxels); {box} is not a part of it that holds voxels"
            )
        self.volume = volume
        self.cropped_to = box
        self.format = volume.format
        self.uri = f"{volume.uri} {box}"
        self.shape = box.shape
        self.channels = volume.channels
        self.dtype = volume.dtype
        self.chunk = volume.chunk
        self.voxel_size = volume.voxel_size
        self.offset = cast(Zyx, tuple(a + b for a, b in zip(volume.offset, box.origin, strict=True)))
        self.attributes = volume.attributes

    def __reduce__(self) -> tuple[Any, ...]:
        return CroppedVolume, (self.volume, self.cropped_to)

    def _read(self, box: Box, channels: Sequence[int] | None) -> np.ndarray:
        return self.volume.read(box.shifted(self.cropped_to.origin), channels)

    def _write(self, box: Box, array: np.ndarray) -> None:
        raise VolumeError(f"{self.uri} is a part of a volume, for reading: write to the volume itself")

    def close(self) -> None:
        self.volume.close()

    def identity(self) -> dict[str, Any]:
        box = {"start": list(self.cropped_to.origin), "stop": list(self.cropped_to.stop)}
        return {"source": self.volume.identity(), "box": box}

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "part_of": self.volume.uri}
