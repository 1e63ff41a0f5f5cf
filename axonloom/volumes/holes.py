"""What no box of a volume holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from axonloom.geometry import Box, Zyx


def first_hole(shape: Zyx, boxes: Sequence[Box]) -> Box | None:
    """Some voxels of a volume that are in none of the boxes; None where all are."""
    return next(iter(holes(shape, boxes, most=1)), None)


def holes(shape: Zyx, boxes: Sequence[Box], most: int | None = None) -> list[Box]:
    """The voxels of a volume that are in none of the boxes, as boxes that do not overlap; the first ``most`` of them.

    Each is as long as it can be along x, then along y, then along z: a missing block of a regular grid is one box, and so is a
    missing row of them. Between the ends of all boxes nothing changes, so what is looked at are the cells between these.
    """
    cuts = [
        sorted(
            {0, shape[axis], *(n for box in boxes for n in (box.origin[axis], box.stop[axis]) if 0 < n < shape[axis])}
        )
        for axis in range(3)
    ]
    missing = np.ones([len(cut) - 1 for cut in cuts], bool)
    place: list[Mapping[int, int]] = [{n: i for i, n in enumerate(cut)} for cut in cuts]
    for box in boxes:
        inside = box.clipped(Box.of_shape(shape))
        if inside.voxels:
            missing[
                tuple(slice(place[axis][inside.origin[axis]], place[axis][inside.stop[axis]]) for axis in range(3))
            ] = False
    found: list[Box] = []
    # Cells in C order; those of a box that was found are not missing any more.
    for cell in np.argwhere(missing):
        if most is not None and len(found) == most:
            break
        low = [int(n) for n in cell]
        if missing[tuple(low)]:
            high = _grown(missing, low)
            missing[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = False
            found.append(
                Box(
                    start=[cut[n] for cut, n in zip(cuts, low, strict=True)],
                    end=[cut[n] for cut, n in zip(cuts, high, strict=True)],
                )
            )
    return found


def _grown(missing: np.ndarray, low: Sequence[int]) -> list[int]:
    """One past the last cell of the largest box of missing cells from ``low`` on: first along x, then y, then z."""
    high = [n + 1 for n in low]
    for axis in (2, 1, 0):
        while high[axis] < missing.shape[axis]:
            layer = [slice(a, b) for a, b in zip(low, high, strict=True)]
            layer[axis] = slice(high[axis], high[axis] + 1)
            if not missing[tuple(layer)].all():
                break
            high[axis] += 1
    return high
