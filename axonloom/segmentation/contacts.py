"""Where the labels of one block touch: its pairs of neighbouring voxels of two labels, listed once for all who count them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from axonloom.geometry import Box, Zyx
from axonloom.kernel import kernel


@dataclass(frozen=True)
class Contacts:
    """Pairs of voxels within a block's core, in the order of their index; no pair has background.

    Attributes
    ----------
    pairs : uint32 (n, 2)
        The labels of a voxel and of the one before it on an axis.
    affinity : uint8 (n,)
    index : uint32 (n,)
        3 x raster number of the voxel in the core, plus the axis (0 = z).
    """

    pairs: np.ndarray
    affinity: np.ndarray
    index: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray, affinities: np.ndarray, lead: np.ndarray) -> Contacts:
        """The contacts in an array of labels.

        Parameters
        ----------
        numbers : uint32 (z, y, x)
            0 is background.
        affinities : uint8 (3, z, y, x)
            Of these voxels and around them.
        lead : int64 (3,)
            Where ``numbers`` starts in them.
        """
        return cls(*_listed(np.ascontiguousarray(numbers), np.ascontiguousarray(affinities), lead))


def global_indices(index: np.ndarray, core: Box, volume_shape: Zyx) -> np.ndarray:
    """From indices of contacts in a block's core (see :class:`Contacts`) to those in the stored volume (uint64)."""
    voxel, axis = np.divmod(index.astype(np.int64), 3)
    place = np.unravel_index(voxel, core.shape)
    z, y, x = (p + o for p, o in zip(place, core.origin, strict=True))
    return (3 * ((z * volume_shape[1] + y) * volume_shape[2] + x) + axis).astype(np.uint64)


@kernel
def _listed(numbers, affinities, lead):
    depth, height, width = numbers.shape
    # Room for as many as there can be, and for one that is written before it is known to be none: of what is not written to, no
    # memory is taken.
    most = 3 * numbers.size + 1
    pairs = np.empty(most, np.uint64)
    affinity = np.empty(most, np.uint8)
    index = np.empty(most, np.uint32)
    n = 0
    dz, dy, dx = lead
    touching = np.empty(width, np.uint8)
    for z in range(depth):
        for y in range(height):
            here = numbers[z, y]
            # On the first plane, row or voxel the one "before" is the voxel itself, and so no other label.
            over, before = numbers[max(z - 1, 0), y], numbers[z, max(y - 1, 0)]
            row_0 = affinities[0, z + dz, y + dy, dx : dx + width]
            row_1 = affinities[1, z + dz, y + dy, dx : dx + width]
            row_2 = affinities[2, z + dz, y + dy, dx : dx + width]
            base = 3 * (z * height + y) * width
            # Along which axes a voxel touches another label, as bits; many voxels at a time.
            for x in range(width):
                label = here[x]
                bits = np.uint8((over[x] != label) & (over[x] != 0))
                bits |= np.uint8((before[x] != label) & (before[x] != 0)) << np.uint8(1)
                touching[x] = bits if label != 0 else np.uint8(0)
            for x in range(1, width):
                label, left = here[x], here[x - 1]
                touching[x] |= np.uint8((left != label) & (left != 0) & (label != 0)) << np.uint8(2)
            for x in range(width):
                bits = touching[x]
                if bits == 0:
                    continue
                # From here on no branch follows the labels: half of them would be foretold wrong.
                label = np.uint64(here[x])
                pairs[n] = np.uint64(over[x]) << np.uint64(32) | label
                affinity[n], index[n] = row_0[x], base + 3 * x
                n += np.int64(bits & 1)
                pairs[n] = np.uint64(before[x]) << np.uint64(32) | label
                affinity[n], index[n] = row_1[x], base + 3 * x + 1
                n += np.int64(bits >> 1 & 1)
                pairs[n] = np.uint64(here[max(x - 1, 0)]) << np.uint64(32) | label
                affinity[n], index[n] = row_2[x], base + 3 * x + 2
                n += np.int64(bits >> 2)
    return pairs[:n].view(np.uint32).reshape(n, 2), affinity[:n], index[:n]
