"""Where the labels of one block touch: its pairs of neighbouring voxels of two labels, listed once for all who count them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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


@kernel
def _listed(numbers, affinities, lead):
    depth, height, width = numbers.shape
    # Room for as many as there can be: of what is not written to, no memory is taken.
    most = 3 * numbers.size
    pairs = np.empty((most, 2), np.uint32)
    affinity = np.empty(most, np.uint8)
    index = np.empty(most, np.uint32)
    n = 0
    dz, dy, dx = lead
    for z in range(depth):
        for y in range(height):
            here = numbers[z, y]
            over, before = numbers[max(z - 1, 0), y], numbers[z, max(y - 1, 0)]
            base = 3 * (z * height + y) * width
            for x in range(width):
                label = here[x]
                if label == 0:
                    continue
                # On the first plane, row or voxel the one "before" is the voxel itself, and so no other label.
                other = over[x]
                if other != label and other != 0:
                    pairs[n, 0], pairs[n, 1] = label, other
                    affinity[n], index[n] = affinities[0, z + dz, y + dy, x + dx], base + 3 * x
                    n += 1
                other = before[x]
                if other != label and other != 0:
                    pairs[n, 0], pairs[n, 1] = label, other
                    affinity[n], index[n] = affinities[1, z + dz, y + dy, x + dx], base + 3 * x + 1
                    n += 1
                other = here[max(x - 1, 0)]
                if other != label and other != 0:
                    pairs[n, 0], pairs[n, 1] = label, other
                    affinity[n], index[n] = affinities[2, z + dz, y + dy, x + dx], base + 3 * x + 2
                    n += 1
    return pairs[:n], affinity[:n], index[:n]
