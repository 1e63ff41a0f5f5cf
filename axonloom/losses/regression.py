"""Losses of distance between numbers."""

from __future__ import annotations

from torch import Tensor


def squared_error(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weight x squared difference, summed over channels, mean over samples and voxels.

    Summing over channels is PyTorch Connectomics' ``WeightedMSE``.
    """
    return (weight * (prediction - target) ** 2).sum() / (prediction.numel() / prediction.shape[1])


def absolute_error(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weight x absolute difference, mean over samples, channels and voxels."""
    return (weight * (prediction - target).abs()).mean()
