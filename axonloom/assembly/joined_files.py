"""Overlapping pieces of a volume put together: each voxel from one of them, or from all that hold it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from axonloom.geometry import Box

How = Literal["blend", "crop"]


def joined(pieces: Iterable[tuple[Box, Box | None, np.ndarray]], box: Box, how: How) -> np.ndarray:
    """The voxels of ``box``.

    Parameters
    ----------
    pieces : box, core, array
        Which voxels a piece holds in all, which of them are its own (None: nobody said), and its values within ``box``:
        (z, y, x) or (c, z, y, x), cut to the part that lies there. Always in one order.
    box : Box
        Held by the pieces together.
    how : {"blend", "crop"}
        ``blend``: the mean of all that hold a voxel, each weighted by the product over axes of the voxel's distance to the piece's
        ends; whole numbers are rounded. ``crop``: from the piece whose own it is, else from the one in which that weight is largest
        (of equal ones the first).

    Returns
    -------
    Array of the pieces' dtype.
    """
    total = weight = None
    dtype = np.dtype(np.uint8)
    for extent, core, values in pieces:
        inside = extent.clipped(box)
        at = inside.slices_in(box)
        near = _weights(extent, inside)
        if total is None or weight is None:
            dtype = values.dtype
            kind = dtype if how == "crop" else np.dtype(np.float64)
            total = np.zeros((*values.shape[:-3], *box.shape), kind)
            weight = np.zeros(box.shape, np.float64)
        if how == "blend":
            total[(..., *at)] += values * near
            weight[at] += near
            continue
        if core is not None:
            near = np.zeros(inside.shape)
            own = core.clipped(inside)
            near[own.slices_in(inside)] = 1
        better = near > weight[at]
        target = total[(..., *at)]
        target[..., better] = values[..., better]
        weight[at] = np.maximum(weight[at], near)
    if total is None or weight is None or not weight.all():
        raise ValueError(f"the pieces do not hold all of {box}")
    if how == "crop":
        return total
    total /= weight
    return np.rint(total).astype(dtype) if dtype.kind in "ui" else total.astype(dtype)


def _weights(extent: Box, inside: Box) -> np.ndarray:
    """At each voxel of ``inside``, the product over axes of its distance to the nearer end of ``extent``; 1 at the end."""
    axes = []
    for axis in range(3):
        at = np.arange(inside.origin[axis], inside.stop[axis], dtype=np.float64)
        axes.append(np.minimum(at - extent.origin[axis] + 1, extent.stop[axis] - at))
    z, y, x = axes
    return z[:, None, None] * y[None, :, None] * x[None, None, :]
