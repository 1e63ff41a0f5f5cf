"""The sums of a block's windows, on the device where the network runs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class NotFiniteError(ValueError):
    """A network gave values that are no numbers; ``channel`` is the first that has some."""

    def __init__(self, channel: int) -> None:
        self.channel = channel
        super().__init__(f"values that are not finite in channel {channel}")


class Accumulator:
    """Weighted sums of the evidence for each voxel of a box: 4 (c + 1) bytes a voxel, whatever the volume.

    They lie on the device, so that only finished voxels leave it, as uint8; on the host where they find no room there. Each
    window is one product and one sum a voxel, each rounded once, so both have the same bytes.

    Parameters
    ----------
    shape : (z, y, x)
    channels : int
    weights : float32 (z, y, x)
        Of a window's voxels.
    device : torch.device
    """

    def __init__(self, shape: tuple[int, int, int], channels: int, weights: np.ndarray, device: torch.device) -> None:
        try:
            self._room(shape, channels, weights, device)
        except torch.OutOfMemoryError:
            self._room(shape, channels, weights, torch.device("cpu"))

    def _room(self, shape: tuple[int, int, int], channels: int, weights: np.ndarray, device: torch.device) -> None:
        self._weights = torch.from_numpy(weights).to(device)
        self._total = torch.zeros((channels, *shape), dtype=torch.float32, device=device)
        self._weight = torch.zeros(shape, dtype=torch.float32, device=device)

    def add(self, output: Tensor | None, inner: tuple[slice, ...], target: tuple[slice, ...]) -> None:
        """Add the part ``inner`` of a window (c, z, y, x) at ``target`` (both slices zyx); None counts as zeros."""
        weights = self._weights[inner]
        if output is not None:
            values = output[(slice(None), *inner)].to(self._total.device)
            self._total[(slice(None), *target)] += values * weights
        self._weight[target] += weights

    def as_uint8(self, round_down: bool = False) -> np.ndarray:
        """The weighted means, 0..1 to 0..255, rounded to the nearest (half to even) or down: uint8 (c, z, y, x). Once only.

        Raises
        ------
        NotFiniteError
        """
        result = np.empty(self._total.shape, np.uint8)
        # One channel at a time, to spare memory.
        for channel, values in enumerate(self._total):
            values /= self._weight
            if not torch.isfinite(values).all():
                raise NotFiniteError(channel)
            values.clamp_(0, 1).mul_(255)
            result[channel] = (values if round_down else values.round_()).to(torch.uint8).cpu().numpy()
        return result
