"""Two samples in one image: mix-up (Zhang et al. 2018, "mixup: beyond empirical risk minimization").

What a mixed image should be judged by is both targets, each as much as its image is in it: the loss is share * loss(target) +
(1 - share) * loss(other target), which for every loss is what the paper's mixed labels mean, and lets each keep its own weights. PyTorch
Connectomics, whose mix-up stands outside its training, keeps the targets of the stronger image alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from axonloom.config.augment import MixUpSettings

if TYPE_CHECKING:
    from axonloom.training.sampling import Sample

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def mixed(
    sample: Sample, another: Callable[[], Sample], random: np.random.Generator, settings: MixUpSettings
) -> Sample:
    """``sample``, or its image with that of ``another()`` in it, if chance and the settings have it so; off draws nothing."""
    if settings.share == 0 or random.random() >= settings.share:
        return sample
    share = random.uniform(settings.low, settings.high)
    other = another()
    image = (share * sample.image + (1 - share) * other.image).astype(np.float32)
    return replace(sample, image=image, share=share if settings.targets == "both" else 1.0, other=other)


def mixed_loss(loss: Loss, samples: Sequence[Sample], logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """The loss of a batch in which some samples are mixed.

    Parameters
    ----------
    loss : of logits, target and weight of a batch
    samples : as many as the batch has
    logits, target, weight : (n, c, z, y, x)
        Of the samples themselves, not of what is mixed into them.
    """
    if all(sample.share == 1 for sample in samples):
        return loss(logits, target, weight)
    losses = []
    for k, sample in enumerate(samples):
        one = slice(k, k + 1)
        own = loss(logits[one], target[one], weight[one])
        if sample.other is not None and sample.share < 1:
            targets, weights = (
                torch.from_numpy(array)[None].to(logits.device) for array in (sample.other.target, sample.other.weight)
            )
            own = sample.share * own + (1 - sample.share) * loss(logits[one], targets, weights)
        losses.append(own)
    return torch.stack(losses).mean()
