"""Architectures by name, so that a configuration and a checkpoint can say which one they mean."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from typing import Any, TypeVar

from torch import nn

from axonloom.networks.layers import NetworkError

Builder = Callable[..., nn.Module]
_BuilderType = TypeVar("_BuilderType", bound=Builder)

# The modules that register the built-in architectures; others register themselves when they are imported.
BUILT_IN = (
    "axonloom.networks.residual_unet_3d",
    "axonloom.networks.residual_unet_plus_3d",
    "axonloom.networks.fpn_3d",
)
_architectures: dict[str, Builder] = {}


def register(name: str) -> Callable[[_BuilderType], _BuilderType]:
    """Decorator: make an ``nn.Module`` class, or a function that returns one, available to :func:`build`.

    The network takes float32 (n, in_channels, z, y, x) and returns logits (n, out_channels, z, y, x); its constructor
    takes keyword arguments that JSON can hold, since they are stored in checkpoints.
    """

    def add(builder: _BuilderType) -> _BuilderType:
        if _architectures.get(name, builder) is not builder:
            raise NetworkError(f"two architectures are called {name!r}")
        _architectures[name] = builder
        return builder

    return add


def architectures() -> list[str]:
    """Names that :func:`build` knows, sorted."""
    for module in BUILT_IN:
        import_module(module)
    return sorted(_architectures)


def build(name: str, **parameters: Any) -> nn.Module:
    """A new network with fresh weights.

    Raises
    ------
    NetworkError
        No such architecture (the nearest name is given), or a parameter that it does not have.
    """
    known = architectures()
    if name not in known:
        raise NetworkError(f"there is no network {name!r}; {nearest(name, known)}")
    try:
        return _architectures[name](**parameters)
    except TypeError as error:
        raise NetworkError(f"network {name!r} does not take these parameters: {error}") from error


def nearest(name: str, known: list[str]) -> str:
    """The half sentence that helps after a wrong name."""
    close = get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
