"""Losses of overlap: one minus a Dice coefficient."""

from __future__ import annotations

from torch import Tensor

SMOOTHING = 100.0  # voxels; keeps the coefficient of an all but empty sample from jumping. PyTorch Connectomics' value
ON_OBJECT, OFF_OBJECT = 0.85, 0.15  # of the weighted form: how much voxels on and off objects count


def dice_loss(probabilities: Tensor, target: Tensor, weight: Tensor, *, power: int = 1) -> Tensor:
    """1 - (2 p.t + s) / (sum p^power + sum t^power + s), over all channels and voxels of a sample, averaged over samples.

    Parameters
    ----------
    probabilities, target, weight : float (n, channels, z, y, x)
        Voxels of weight 0 do not count, all others alike.
    power : int
        1: plain sums below the line; 2: squares (Milletari et al. 2016).
    """
    known = (weight > 0).to(probabilities.dtype)
    p = (probabilities * known).flatten(1)
    t = (target * known).flatten(1)
    size = (p**power).sum(1) + (t**power).sum(1)
    return (1 - (2 * (p * t).sum(1) + SMOOTHING) / (size + SMOOTHING)).mean()


def weighted_dice_loss(probabilities: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - (2 p.t + s) / (p.p + t.t + s) of numbers in -1..1 (2 x - 1) that count more on objects than off them.

    Over all channels and voxels of a sample, averaged over samples.

    Notes
    -----
    PyTorch Connectomics' ``WSDiceLoss``.
    """
    counts = (OFF_OBJECT + (ON_OBJECT - OFF_OBJECT) * target) * (weight > 0)
    p = (counts * (2 * probabilities - 1)).flatten(1)
    t = (counts * (2 * target - 1)).flatten(1)
    return (1 - (2 * (p * t).sum(1) + SMOOTHING) / ((p * p).sum(1) + (t * t).sum(1) + SMOOTHING)).mean()
