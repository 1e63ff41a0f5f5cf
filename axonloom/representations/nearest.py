"""Which of a network's channels are the affinities that segmentation reads."""

from __future__ import annotations

from typing import Any

from axonloom.geometry import Zyx
from axonloom.representations.affinity import NEAREST, Affinity, AffinityTarget
from axonloom.representations.representation import Representation
from axonloom.representations.targets import KINDS, Targets


def nearest_channels(kind: Representation) -> Zyx | None:
    """The channels of the affinities to the voxels before along z, y and x; None where not all three are predicted.

    Where a channel is predicted twice, the first one counts.
    """
    offsets = _offsets(kind)
    if not set(NEAREST) <= set(offsets):
        return None
    z, y, x = (offsets.index(offset) for offset in NEAREST)
    return z, y, x


def _offsets(kind: Representation) -> list[Zyx | None]:
    """One a channel; None where it is no affinity."""
    if isinstance(kind, Affinity):
        return list(kind.offsets)
    if not isinstance(kind, Targets):
        return []
    return [offset for part in kind.parameters()["parts"] for offset in _of_part(part)]


def _of_part(part: dict[str, Any]) -> list[Zyx | None]:
    target = KINDS[part["kind"]](**part["parameters"])
    return list(target.offsets) if isinstance(target, AffinityTarget) else [None] * len(target.channels)
