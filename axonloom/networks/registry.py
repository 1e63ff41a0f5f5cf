"""Architectures by name, so that a configuration and a checkpoint can say which one they mean.

They come from three places: axonloom itself; installed packages with an entry point in the group ``axonloom.networks``, whose
name is the architecture's and which is imported when it is built first; and modules that call :func:`register` when somebody
imports them.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar, cast

from torch import nn

from axonloom.networks.layers import NetworkError

Builder = Callable[..., nn.Module]
_BuilderType = TypeVar("_BuilderType", bound=Builder)

GROUP = "axonloom.networks"
# The modules that register the built-in architectures.
BUILT_IN = (
    "axonloom.networks.residual_unet_3d",
    "axonloom.networks.residual_unet_plus_3d",
    "axonloom.networks.fpn_3d",
    "axonloom.networks.residual_unet_2d",
    "axonloom.networks.legacy_unet_3d",
    "axonloom.networks.transformers_3d",
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
    """Names that :func:`build` knows, sorted. No other package is imported for it."""
    return sorted({*_here(), *_announced()})


def build(name: str, **parameters: Any) -> nn.Module:
    """A new network with fresh weights.

    Raises
    ------
    NetworkError
        No such architecture (the nearest name is given), or a parameter that it does not have; two packages that give it the
        same name, or one whose network cannot be imported.
    """
    builder = _builder(name)
    try:
        return builder(**parameters)
    except TypeError as error:
        raise NetworkError(f"network {name!r} does not take these parameters: {error}") from error


def nearest(name: str, known: list[str]) -> str:
    """The half sentence that helps after a wrong name."""
    close = get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"


def _here() -> dict[str, Builder]:
    for module in BUILT_IN:
        import_module(module)
    return _architectures


def _announced() -> dict[str, list[EntryPoint]]:
    """The entry points of installed packages, by name."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return found


def _builder(name: str) -> Builder:
    here, points = _here(), _announced().get(name, [])
    # What stands behind an entry point may be registered too: then it is one and the same.
    if name in here and all(point.module == here[name].__module__ for point in points):
        return here[name]
    if not points:
        raise NetworkError(f"there is no network {name!r}; {nearest(name, architectures())}")
    owners = [_owner(point) for point in points] + (["axonloom"] if name in here else [])
    if len(owners) > 1:
        raise NetworkError(f"network {name!r} is given by {' and '.join(owners)}: uninstall one of them")
    try:
        found = points[0].load()
    except Exception as error:  # whatever the import of another package raises
        raise NetworkError(f"network {name!r} of {owners[0]} cannot be imported: {error}") from error
    if not callable(found):
        raise NetworkError(f"network {name!r} of {owners[0]} is no class or function: {points[0].value}")
    return cast(Builder, found)


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module
