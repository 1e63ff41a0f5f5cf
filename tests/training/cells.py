"""Small volumes in memory: cells with dark membranes, and any array as a Volume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from axonloom.geometry import Box, Zyx
from axonloom.volumes.volume import Volume


class ArrayVolume(Volume):
    """A zyx or czyx array as a Volume, which counts what is read from it."""

    format = "memory"

    def __init__(self, array: np.ndarray, uri: str = "memory", voxel_size: Any = (10.0, 10.0, 10.0)) -> None:
        self.array = array
        self.uri = uri
        self.shape = array.shape[-3:]
        self.channels = array.shape[0] if array.ndim == 4 else None
        self.dtype = array.dtype
        self.chunk = None
        self.voxel_size = voxel_size
        self.offset = (0, 0, 0)
        self.voxels_read = 0

    def _read(self, box: Box, channels: Sequence[int] | None) -> np.ndarray:
        self.voxels_read += box.voxels
        return self.array[(..., *box.slices)].copy()

    def identity(self) -> dict[str, Any]:
        return {"uri": self.uri}


def cells(shape: Zyx, seed: int = 0, size: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """A uint8 image of Voronoi cells with dark walls and noise, and their uint32 labels (dense, from 1)."""
    random = np.random.default_rng(seed)
    count = max(2, int(np.prod(shape) / size**3))
    centres = random.random((count, 3)) * shape
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1).reshape(-1, 3)
    distance, nearest = cKDTree(centres).query(grid, k=2)
    wall = (distance[:, 1] - distance[:, 0]).reshape(shape)
    grey = 60 + 110 * np.clip(wall / 3, 0, 1) + ndimage.gaussian_filter(25 * random.standard_normal(shape), 0.5)
    return np.clip(grey, 0, 255).astype(np.uint8), (nearest[:, 0].reshape(shape) + 1).astype(np.uint32)
