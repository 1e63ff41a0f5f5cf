"""Labels cut into their connected parts, for ground truth in which one id stands for several pieces."""

from __future__ import annotations

import numpy as np

from axonloom.evaluation.contingency import flat_ids
from axonloom.kernel import kernel


def connected_labels(labels: np.ndarray, minimum_voxels: int = 1) -> np.ndarray:
    """The 6-connected components of equal labels, as ground truth of their own.

    In a small box a neuron often enters in several places, and no segmentation of the box alone can know that the pieces
    belong together; scored against its components it is not blamed for that. Pieces of a few voxels at the border are left
    out by ``minimum_voxels``. The array is handled as a whole, in memory (8 bytes a voxel besides the result): for ground
    truth of up to some 10^8 voxels, not for volumes in blocks.

    Parameters
    ----------
    labels : integer (z, y, x)
        0 is background and stays so.
    minimum_voxels : int
        Components with fewer voxels become 0, that is, they are not scored.

    Returns
    -------
    numpy.ndarray
        uint64 (z, y, x): 1, 2, ... in the order of each component's first voxel.

    Raises
    ------
    EvaluationError
        The labels are no ids.
    ValueError
        Not three axes.
    """
    if labels.ndim != 3:
        raise ValueError(f"labels have axes (z, y, x), these have shape {labels.shape}")
    return _components(flat_ids(labels, "the labels").reshape(labels.shape), minimum_voxels)


@kernel
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
def _components(labels, minimum_voxels):
    nz, ny, nx = labels.shape
    flat = labels.ravel()
    parent = np.empty(flat.size, np.int64)
    i = 0
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                parent[i] = i
                label = flat[i]
                if label != 0:
                    # The smaller index stays the root, so that a root is its component's first voxel.
                    if x > 0 and flat[i - 1] == label:
                        a, b = _root(parent, i - 1), _root(parent, i)
                        parent[max(a, b)] = min(a, b)
                    if y > 0 and flat[i - nx] == label:
                        a, b = _root(parent, i - nx), _root(parent, i)
                        parent[max(a, b)] = min(a, b)
                    if z > 0 and flat[i - ny * nx] == label:
                        a, b = _root(parent, i - ny * nx), _root(parent, i)
                        parent[max(a, b)] = min(a, b)
                i += 1
    out = np.zeros(flat.size, np.uint64)
    for i in range(flat.size):  # sizes, gathered at the roots
        if flat[i] != 0:
            out[_root(parent, i)] += np.uint64(1)
    count = np.uint64(0)
    for i in range(flat.size):  # a root comes before all others of its component
        if flat[i] == 0:
            continue
        root = _root(parent, i)
        if root == i:
            if out[i] >= minimum_voxels:
                count += np.uint64(1)
                out[i] = count
            else:
                out[i] = np.uint64(0)
        else:
            out[i] = out[root]
    return out.reshape(labels.shape)
