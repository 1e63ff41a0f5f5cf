"""Mutex watershed (Wolf et al. 2020, arXiv:1904.12654) of one block, on nearest-neighbour and long-range affinities.

All edges are gone through from the strongest: an edge between nearest neighbours attracts with its affinity and joins its two
regions, a longer one repels with 1 - affinity and forbids them to be joined. The edges are ordered strictly, so that the
result does not depend on how a sort treats equals: 8-bit affinities are full of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from axonloom.assembly.thresholds import FULL_SCALE
from axonloom.assembly.union_find import find
from axonloom.geometry import Zyx
from axonloom.kernel import kernel

# A strength of 0..255 above the place in the order of equals: whole numbers below 2**53, which float64 holds.
_PLACE_BITS = 44


def is_attractive(offset: Sequence[int]) -> bool:
    """Whether an offset leads to one of the six nearest neighbours."""
    return sum(abs(n) for n in offset) == 1


def mutex_watershed(
    affinities: np.ndarray, offsets: Sequence[Zyx], low: int, mask: np.ndarray | None = None
) -> np.ndarray:
    """Mutex watershed of an array.

    Parameters
    ----------
    affinities : uint8 (c, z, y, x)
        Channel c at voxel v is the affinity (0..255) of v and v + ``offsets[c]``; not looked at where that lies outside.
    offsets : (z, y, x) each
        Nearest neighbours attract, all others repel.
    low : int
        Affinities (0..255) below which nearest neighbours are not joined; a voxel without any other is background.
    mask : bool (z, y, x), optional
        Edges of voxels that are False do not exist, and these voxels are background.

    Returns
    -------
    uint64 (z, y, x)
        Labels 1..n in the order of first appearance; 0 is background. Of equally strong edges the one of the earlier channel
        comes first (those that attract before those that repel), then that of the earlier voxel.

    Raises
    ------
    ValueError
        Arrays that do not fit together, or no offset that attracts.
    """
    # Only here: its import takes longer than everything else a worker of other stages needs.
    from bioimage_cpp.segmentation import mutex_watershed as unordered

    _check(affinities, offsets, mask)
    attractive = [c for c, offset in enumerate(offsets) if is_attractive(offset)]
    order = attractive + [c for c in range(len(offsets)) if c not in attractive]
    ordered = np.ascontiguousarray(affinities[order])
    weights = _strict(ordered, len(attractive))
    keep = np.ones(affinities.shape[1:], bool) if mask is None else np.ascontiguousarray(mask)
    joined = unordered(weights, [tuple(offsets[c]) for c in order], len(attractive), mask=keep)
    nearest = np.array([offsets[c] for c in attractive], np.int64)
    # Weak edges attract last, so what the others alone make is what remains connected without them.
    return _without_weak(joined.astype(np.uint64), ordered[: len(attractive)], nearest, keep, low)


def _check(affinities: np.ndarray, offsets: Sequence[Zyx], mask: np.ndarray | None) -> None:
    if affinities.dtype != np.uint8 or affinities.ndim != 4 or len(affinities) != len(offsets) or affinities.size == 0:
        raise ValueError(
            f"a mutex watershed of {len(offsets)} offsets takes uint8 ({len(offsets)}, z, y, x), not {affinities.dtype} "
            f"{affinities.shape}"
        )
    if affinities.size >= 1 << _PLACE_BITS:
        raise ValueError(f"a block of {affinities.size} affinities is too large: use smaller blocks")
    if mask is not None and (mask.dtype != np.bool_ or mask.shape != affinities.shape[1:]):
        raise ValueError(f"the mask is bool of shape {affinities.shape[1:]}, not {mask.dtype} {mask.shape}")
    if not any(is_attractive(o) for o in offsets):
        raise ValueError(f"none of the offsets {list(offsets)} is a nearest neighbour, so nothing would be joined")


@kernel
def _strict(affinities, attractive):
    """Weights without equals (float64): the strength first, then the earlier edge."""
    channels, depth, height, width = affinities.shape
    out = np.empty(affinities.shape, np.float64)
    place = (np.int64(1) << _PLACE_BITS) - 1
    for c in range(channels):
        for z in range(depth):
            for y in range(height):
                for x in range(width):
                    value = np.int64(affinities[c, z, y, x])
                    strength = value if c < attractive else FULL_SCALE - value
                    out[c, z, y, x] = np.float64((strength << _PLACE_BITS) + place)
                    place -= 1
    return out


@kernel
def _without_weak(joined, affinities, offsets, keep, low):
    """Labels cut where only edges below ``low`` hold them together; 0 where a voxel has no edge of at least that."""
    channels, depth, height, width = affinities.shape
    parents = np.arange(depth * height * width)
    touched = np.zeros(depth * height * width, np.bool_)
    for c in range(channels):
        dz, dy, dx = offsets[c]
        for z in range(max(0, -dz), min(depth, depth - dz)):
            for y in range(max(0, -dy), min(height, height - dy)):
                for x in range(max(0, -dx), min(width, width - dx)):
                    if affinities[c, z, y, x] < low or not keep[z, y, x] or not keep[z + dz, y + dy, x + dx]:
                        continue
                    i = (z * height + y) * width + x
                    j = ((z + dz) * height + y + dy) * width + x + dx
                    touched[i] = True
                    touched[j] = True
                    if joined[z, y, x] == joined[z + dz, y + dy, x + dx]:
                        i, j = find(parents, i), find(parents, j)
                        if i < j:
                            parents[j] = i
                        else:
                            parents[i] = j
    out = np.zeros(depth * height * width, np.uint64)
    n = np.uint64(0)
    for i in range(len(parents)):
        if not touched[i]:
            continue
        root = find(parents, i)
        if root == i:
            n += np.uint64(1)
            out[i] = n
        else:
            out[i] = out[root]
    return out.reshape(depth, height, width)
