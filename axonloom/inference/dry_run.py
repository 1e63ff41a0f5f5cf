"""A network run without values: what it would give for a batch, and what memory it would take at the least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class DryRun:
    """What was found.

    Attributes
    ----------
    shape : of the output
    least_bytes : what the largest layer gets and gives, as float32; what else is kept at that moment, such as skip connections, comes on top
    """

    shape: tuple[int, ...]
    least_bytes: int


def dry_run(network: nn.Module, shape: Sequence[int]) -> DryRun:
    """A network on torch's ``meta`` device, whose tensors have shapes and no values: no memory and no time, whatever the window.

    Parameters
    ----------
    network : in evaluation mode; left as it is
    shape : (batch, c, z, y, x)

    Raises
    ------
    RuntimeError, NotImplementedError
        The network does not take the shape, or has operations that torch cannot do without values.
    """
    most = 0

    def note(_: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        nonlocal most
        # A layer that works in place gives what it got.
        tensors = {id(each): each for each in (*given, made) if isinstance(each, Tensor)}
        most = max(most, sum(4 * each.numel() for each in tensors.values()))

    hooks = [layer.register_forward_hook(note) for layer in network.modules() if not list(layer.children())]
    named = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    try:
        with torch.inference_mode():
            nothing = {name: torch.empty_like(each, device="meta") for name, each in named.items()}
            found = torch.func.functional_call(network, nothing, (torch.empty(tuple(shape), device="meta"),))
    finally:
        for hook in hooks:
            hook.remove()
    return DryRun(tuple(found.shape), most)
