"""The sums of a block's windows, on the device where the network runs."""

from __future__ import annotations

from collections.abc import Callable

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

    They lie on the device, so that only finished voxels leave it, as uint8; on the host where they find no room there, or none any
    more. Each window is one product and one sum a voxel, each rounded once, so both have the same bytes.

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
        if output is not None:
            values = output[(slice(None), *inner)]
            try:
                part = values.to(self._total.device) * self._weights[inner]
            except torch.OutOfMemoryError:
                self._to_host()
                part = values.cpu() * self._weights[inner]
            self._total[(slice(None), *target)] += part
        self._weight[target] += self._weights[inner]

    def _to_host(self) -> None:
        self._weights, self._total, self._weight = self._weights.cpu(), self._total.cpu(), self._weight.cpu()

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
            if not _with_room(lambda v: torch.isfinite(v).all(), values):
                raise NotFiniteError(channel)
            values.clamp_(0, 1).mul_(255)
            if not round_down:
                values.round_()
            result[channel] = _with_room(lambda v: v.to(torch.uint8), values).cpu().numpy()
        return result


def _with_room(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """``function`` of ``values``, on the host where the device has no room for what it gives."""
    try:
        return function(values)
    except torch.OutOfMemoryError:
        return function(values.cpu())
