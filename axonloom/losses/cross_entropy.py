"""Losses of how probable a network finds what is right."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

FOCUS = 2.0  # Lin et al. 2017, "Focal loss for dense object detection": gamma
RARE_SHARE = 0.25  # the same paper's alpha


def binary_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor, *, slack: float = 0.0) -> Tensor:
    """Mean over all channels and voxels of weight x cross entropy.

    Parameters
    ----------
    logits : float (n, channels, z, y, x)
    target, weight : float, same shape
        Targets in 0..1.
    slack : float
        Targets are kept this far from 0 and 1, so that a network is not pushed to certainty.
    """
    return functional.binary_cross_entropy_with_logits(logits, _kept_inside(target, slack), weight)


def binary_cross_entropy_of_probabilities(
    probabilities: Tensor, target: Tensor, weight: Tensor, *, slack: float = 0.0
) -> Tensor:
    """:func:`binary_cross_entropy` for a network that ends in probabilities. Less exact near 0 and 1."""
    return functional.binary_cross_entropy(probabilities, _kept_inside(target, slack), weight)


def focal_loss(
    logits: Tensor, target: Tensor, weight: Tensor, *, focus: float = FOCUS, rare_share: float = RARE_SHARE
) -> Tensor:
    """Cross entropy in which what is right already counts little (Lin et al. 2017); mean over all channels and voxels.

    Parameters
    ----------
    focus : float
        0 gives a cross entropy; the larger, the more do only mistakes count.
    rare_share : float
        Share of target 0; target 1 gets the rest.
    """
    wrong = torch.sigmoid(logits)
    wrong = wrong + target - 2 * wrong * target  # p where the target is 0, 1 - p where it is 1
    factor = (target + rare_share - 2 * rare_share * target) * wrong**focus
    return (weight * factor * functional.binary_cross_entropy_with_logits(logits, target, reduction="none")).mean()


def class_cross_entropy(
    logits: Tensor, classes: Tensor, weight: Tensor, *, class_weights: Sequence[float] | None = None
) -> Tensor:
    """Mean over voxels of weight x cross entropy between classes, one of which is right.

    Parameters
    ----------
    logits : float (n, classes, z, y, x)
    classes, weight : float (n, 1, z, y, x)
        Class numbers from 0.
    class_weights : sequence of float, optional
        One a class. As in PyTorch Connectomics the sum is divided by the number of voxels, not by these.
    """
    of_class = None if class_weights is None else logits.new_tensor(class_weights)
    each = functional.cross_entropy(logits, classes[:, 0].long(), weight=of_class, reduction="none")
    return (weight[:, 0] * each).mean()


def _kept_inside(target: Tensor, slack: float) -> Tensor:
    return target.clamp(slack, 1 - slack) if slack else target
