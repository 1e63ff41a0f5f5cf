"""Channels of a network that was trained elsewhere: what they are called and how they are read. For prediction only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn, cast, get_args

import numpy as np
import torch
from torch import Tensor

from axonloom.geometry import Zyx
from axonloom.representations.affinity import Affinity
from axonloom.representations.centred_affinity import CentredAffinity
from axonloom.representations.representation import RepresentationError
from axonloom.turn import Seen, Turn

Activation = Literal["sigmoid", "tanh", "softmax", "none"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": lambda logits: (torch.tanh(logits) + 1) / 2,
    "softmax": lambda logits: torch.softmax(logits, dim=1),
    "none": lambda logits: logits,
}


class Channels:
    """Groups of channels, each with an activation of its own; some may be affinities.

    Parameters
    ----------
    groups : sequence of dict
        In the order of the network's output. ``names``: one name a channel. ``activation``: ``sigmoid``, ``tanh`` (mapped to
        0..1), ``softmax`` over the group, or ``none``. ``offsets``, for affinities: voxels (z, y, x), one a channel. ``reach``, for
        three affinities that stand halfway: voxels (z, y, x).
    """

    name = "channels"

    def __init__(self, groups: Sequence[dict[str, Any]]) -> None:
        for group in groups:
            unknown = set(group) - {"names", "activation", "offsets", "reach"}
            if unknown or not group.get("names"):
                raise RepresentationError(
                    f"a group of channels has names, activation and perhaps offsets or reach, not {group}"
                )
            if group.get("activation", "sigmoid") not in get_args(Activation):
                raise RepresentationError(
                    f"activation is one of {', '.join(get_args(Activation))}, not {group['activation']!r}"
                )
            if group.get("offsets") is not None and len(group["offsets"]) != len(group["names"]):
                raise RepresentationError(f"{len(group['names'])} affinities need as many offsets: {group['offsets']}")
        if not groups:
            raise RepresentationError("a network needs at least one group of channels")
        self.groups = [dict(group) for group in groups]

    @property
    def channels(self) -> tuple[str, ...]:
        return tuple(name for group in self.groups for name in group["names"])

    @property
    def margin(self) -> tuple[Zyx, Zyx]:
        return (0, 0, 0), (0, 0, 0)

    def targets(self, labels: np.ndarray, valid: np.ndarray | None = None) -> NoReturn:
        self._refuse()

    def loss(self, logits: Tensor, target: Tensor, weight: Tensor) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RepresentationError(
            f"the channels {', '.join(self.channels)} come from elsewhere: axonloom predicts with them and cannot train them"
        )

    def activation(self, logits: Tensor) -> Tensor:
        parts = torch.split(logits, [len(group["names"]) for group in self.groups], dim=1)
        read = [ACTIVATIONS[g.get("activation", "sigmoid")](part) for g, part in zip(self.groups, parts, strict=True)]
        return torch.cat(read, dim=1)

    def seen(self, turn: Turn) -> tuple[Seen | None, ...]:
        """Affinities as :class:`Affinity` has them; other channels belong to one voxel, and stay where they are."""
        found: list[Seen | None] = []
        for group in self.groups:
            first = len(found)
            if group.get("reach") is not None:
                places = CentredAffinity(cast(Sequence[int], group["reach"])).seen(turn)
                found += [None if p is None else Seen(first + p.channel) for p in places]
            elif group.get("offsets") is None:
                found += [Seen(first + k) for k in range(len(group["names"]))]
            else:
                places = Affinity(cast(Sequence[Sequence[int]], group["offsets"])).seen(turn)
                found += [None if p is None else Seen(first + p.channel, p.shift) for p in places]
        return tuple(found)

    def parameters(self) -> dict[str, Any]:
        return {"groups": [dict(group) for group in self.groups]}
