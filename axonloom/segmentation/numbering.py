"""What each voxel chose to numbered fragments."""

from __future__ import annotations

import numpy as np

from axonloom.assembly.union_find import find
from axonloom.kernel import kernel


@kernel
def unite(choices):
    """Union-find over the core's own edges: every parent precedes its child, roots are the smallest members.

    Returns parents (uint32, in the core's shape) and the number of fragments.
    """
    depth, height, width = choices.shape
    parents = np.empty((depth, height, width), np.uint32)
    flat = parents.ravel()
    chosen = choices.ravel()
    plane = height * width
    n = 0
    i = -1
    for z in range(depth):
        for y in range(height):
            root = np.int64(0)
            before = np.uint8(0)
            for x in range(width):
                i += 1
                choice = chosen[i]
                # The voxel before has just been given its root.
                root = root if x > 0 and (choice & 4 or before & 32) else i
                before = choice
                if choice == 0:
                    continue
                if y > 0 and (choice & 2 or chosen[i - width] & 16):
                    other = find(flat, i - width)
                    if root == i:
                        root = other
                    elif other < root:
                        flat[root] = other
                        root = other
                        n -= 1
                    elif root < other:
                        flat[other] = root
                        n -= 1
                if z > 0 and (choice & 1 or chosen[i - plane] & 8):
                    other = find(flat, i - plane)
                    if root == i:
                        root = other
                    elif other < root:
                        flat[root] = other
                        root = other
                        n -= 1
                    elif root < other:
                        flat[other] = root
                        n -= 1
                if root == i:
                    n += 1
                flat[i] = root
    return parents, n


@kernel
def number(choices, parents, n, origin, volume_shape):
    """Turn parents into numbers 1..n in raster order, in place: a parent precedes its child, and so has its number already.

    Returns the global ids and voxel counts by number, with a row 0 for the background.
    """
    depth, height, width = choices.shape
    ids = np.zeros(n + 1, np.uint64)
    voxels = np.zeros(n + 1, np.uint64)
    numbers = parents.ravel()
    chosen = choices.ravel()
    found = 0
    i = -1
    for z in range(depth):
        for y in range(height):
            base = 1 + ((z + origin[0]) * volume_shape[1] + y + origin[1]) * volume_shape[2] + origin[2]
            for x in range(width):
                i += 1
                if chosen[i] == 0:
                    numbers[i] = 0
                    continue
                parent = np.int64(numbers[i])
                if parent == i:
                    found += 1
                    own = np.uint32(found)
                    ids[own] = np.uint64(base + x)
                else:
                    own = numbers[parent]
                numbers[i] = own
                voxels[own] += np.uint64(1)
    return ids, voxels


@kernel
def name(numbers, ids, labels) -> None:
    """The id of each number, one after the other."""
    for i in range(len(numbers)):
        labels[i] = ids[numbers[i]]
