"""Volumes in memory and small networks, for the tests of inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from axonloom.geometry import Box
from axonloom.volumes.volume import Volume


class ArrayVolume(Volume):
    """An array as a volume; remembers which boxes were read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.uri = "memory"
        self.shape = tuple(array.shape[-3:])
        self.channels = array.shape[0] if array.ndim == 4 else None
        self.dtype = array.dtype
        self.chunk = None
        self.voxel_size = None
        self.offset = (0, 0, 0)
        self.reads: list[Box] = []

    def _read(self, box: Box, channels: Sequence[int] | None) -> np.ndarray:
        assert channels is None
        self.reads.append(box)
        return self.array[(..., *box.slices)]

    def identity(self) -> dict[str, Any]:
        return {}


class SmallNetwork(nn.Module):
    """A real network in miniature: convolutions, a normalisation over the window, pooling and upsampling."""

    def __init__(self, inputs: int = 1, outputs: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv3d(inputs, 8, 3, padding=1)
        self.norm = nn.GroupNorm(4, 8)
        self.second = nn.Conv3d(8, 8, 3, padding=1)
        self.last = nn.Conv3d(16, outputs, (1, 3, 3), padding=(0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        first = torch.nn.functional.elu(self.norm(self.first(x)))
        deep = self.second(torch.nn.functional.max_pool3d(first, 2, ceil_mode=True))
        deep = torch.nn.functional.interpolate(deep, size=x.shape[2:], mode="trilinear", align_corners=False)
        return 4 * self.last(torch.cat([first, deep], dim=1))


def small_network(inputs: int = 1, outputs: int = 3, seed: int = 0) -> SmallNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SmallNetwork(inputs, outputs)


def noise(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
