"""Do given affinities reach the thresholds at all? Asked before hours of work that would make nothing."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from axonloom.assembly.thresholds import FULL_SCALE, threshold_to_uint8
from axonloom.chain import Chain
from axonloom.config.load import ConfigurationError
from axonloom.stages.inputs import open_volume_input
from axonloom.volumes import VolumeError


def require_reached_thresholds(chain: Chain) -> None:
    """Refuse thresholds above the highest affinity of a given volume.

    Blocks are read, from all over the volume, until one reaches the thresholds: in a volume that does, the first or second. A
    threshold whose stage has begun is not looked at again, and predicted affinities are not.

    Raises
    ------
    ConfigurationError
        Names the threshold, the volume and its highest affinity.
    """
    given = chain.configuration.volumes.affinities
    wanted = _thresholds(chain)
    if given is None or not wanted:
        return
    key, threshold = max(wanted.items(), key=lambda item: item[1])
    volume = open_volume_input(chain.fragment.inputs["affinities"], chain.workspace)
    highest = 0
    for index in _from_all_over(len(chain.fragment.grid)):
        try:
            highest = max(highest, int(volume.read(chain.fragment.grid.block(index).core).max()))
        except VolumeError:
            # Not known, then. The stage will name this block, and do the others.
            return
        if highest >= threshold_to_uint8(threshold):
            return
    why = "everything would be background" if key == "segment.low" else "nothing would be merged"
    raise ConfigurationError(
        f"{key} is {threshold}, but the highest affinity in {given.path} is {highest / FULL_SCALE:.3f}: {why}; lower {key}, or "
        "look at how the affinities were scaled"
    )


def _thresholds(chain: Chain) -> dict[str, Decimal]:
    """Configuration keys and thresholds that affinities have to reach, of stages that have not begun."""
    settings = chain.configuration
    found = {}
    if not chain.fragment.folder.exists():
        found["segment.low"] = settings.segment.low
    if chain.merging == "agglomerate" and not chain.pool.folder.exists():
        found["merge.threshold"] = settings.merge.threshold
    return found


def _from_all_over(n: int) -> Iterator[int]:
    """0..n-1, each once, from the middle on in ever smaller steps."""
    seen: set[int] = set()
    pieces = 2
    while len(seen) < n:
        for k in range(1, pieces, 2):
            index = n * k // pieces
            if index not in seen:
                seen.add(index)
                yield index
        pieces *= 2
