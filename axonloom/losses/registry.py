"""Losses by name, and what each of them reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from torch import Tensor

from axonloom.bad_input import BadInputError
from axonloom.losses.cross_entropy import (
    binary_cross_entropy,
    binary_cross_entropy_of_probabilities,
    class_cross_entropy,
    focal_loss,
)
from axonloom.losses.dice import dice_loss, weighted_dice_loss
from axonloom.losses.regression import absolute_error, squared_error


class LossError(BadInputError):
    """A loss that does not exist or does not fit its target, said in one sentence."""


@dataclass(frozen=True)
class Loss:
    """A loss and what it is computed from.

    Attributes
    ----------
    function : callable
        Of prediction, target and weight, and of keyword parameters; returns a scalar.
    reads : {'logits', 'activated'}
        The network's output itself, or after the target's activation.
    classes : bool
        The target is one channel of class numbers; else it has the prediction's channels.
    """

    function: Callable[..., Tensor]
    reads: Literal["logits", "activated"]
    classes: bool = False


LOSSES = {
    "cross_entropy": Loss(binary_cross_entropy, "logits"),
    "probability_cross_entropy": Loss(binary_cross_entropy_of_probabilities, "activated"),
    "focal": Loss(focal_loss, "logits"),
    "class_cross_entropy": Loss(class_cross_entropy, "logits", classes=True),
    "dice": Loss(dice_loss, "activated"),
    "weighted_dice": Loss(weighted_dice_loss, "activated"),
    "squared_error": Loss(squared_error, "activated"),
    "absolute_error": Loss(absolute_error, "activated"),
}


def loss_called(name: str) -> Loss:
    """The loss of that name.

    Raises
    ------
    LossError
        There is none; the nearest name is given.
    """
    if name not in LOSSES:
        close = get_close_matches(name, LOSSES, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(LOSSES)}"
        raise LossError(f"there is no loss {name!r}; {hint}")
    return LOSSES[name]
