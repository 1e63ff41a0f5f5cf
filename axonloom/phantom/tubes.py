"""Which tubes can be nearest in a brick, and how near they are."""

from __future__ import annotations

import numpy as np

from axonloom.kernel import inlined, kernel
from axonloom.phantom.noise import Real, Whole
from axonloom.phantom.skeleton import AX, AY, AZ, BX, BY, BZ, RA, RB, capsule_metric

# Columns of a tube: what the innermost loop needs of a capsule, worked out once a brick.
TUBE_COLUMNS = 9


@kernel
def prune(
    capsules: np.ndarray,
    names: np.ndarray,
    chosen: np.ndarray,
    count: Whole,
    centre: np.ndarray,
    radius: Real,
    kept: np.ndarray,
    measure: np.ndarray,
) -> Whole:
    """Those of the first ``count`` of ``chosen`` that can be nearest or second within ``radius`` of ``centre``."""
    first, second = np.inf, np.inf
    name = np.uint64(0)
    for n in range(count):
        here = capsule_metric(capsules[chosen[n]], centre[0], centre[1], centre[2])
        measure[n] = here
        if here < first:
            if names[chosen[n]] != name:
                second = first
            first = here
            name = names[chosen[n]]
        elif here < second and names[chosen[n]] != name:
            second = here
    limit = second + 2.3 * radius
    number = 0
    for n in range(count):
        if measure[n] <= limit:
            kept[number] = chosen[n]
            number += 1
    return number


@kernel
def away(capsule: np.ndarray, place: np.ndarray, out: np.ndarray) -> Real:
    """Unit vector from the capsule's axis to ``place`` into ``out`` (4,), with the fraction along it; returns the distance."""
    dz, dy, dx = capsule[BZ] - capsule[AZ], capsule[BY] - capsule[AY], capsule[BX] - capsule[AX]
    pz, py, px = place[0] - capsule[AZ], place[1] - capsule[AY], place[2] - capsule[AX]
    length = dz * dz + dy * dy + dx * dx
    s = 0.0 if length == 0.0 else (pz * dz + py * dy + px * dx) / length
    s = min(1.0, max(0.0, s))
    pz -= s * dz
    py -= s * dy
    px -= s * dx
    distance = np.sqrt(pz * pz + py * py + px * px) + 1e-9
    out[0], out[1], out[2], out[3] = pz / distance, py / distance, px / distance, s
    return distance


@kernel
def as_tubes(capsules: np.ndarray, near: np.ndarray, count: Whole, tubes: np.ndarray) -> None:
    """End, axis, 1 / length squared, radius and its change, for each of the first ``count`` of ``near``."""
    for n in range(count):
        one = capsules[near[n]]
        dz, dy, dx = one[BZ] - one[AZ], one[BY] - one[AY], one[BX] - one[AX]
        length = dz * dz + dy * dy + dx * dx
        tubes[n, 0], tubes[n, 1], tubes[n, 2] = one[AZ], one[AY], one[AX]
        tubes[n, 3], tubes[n, 4], tubes[n, 5] = dz, dy, dx
        tubes[n, 6] = 1.0 / length if length > 0.0 else 0.0
        tubes[n, 7], tubes[n, 8] = one[RA], one[RB] - one[RA]


@inlined
def tube_metric(tubes: np.ndarray, n: Whole, z: Real, y: Real, x: Real) -> Real:
    pz, py, px = z - tubes[n, 0], y - tubes[n, 1], x - tubes[n, 2]
    s = (pz * tubes[n, 3] + py * tubes[n, 4] + px * tubes[n, 5]) * tubes[n, 6]
    s = min(1.0, max(0.0, s))
    pz -= s * tubes[n, 3]
    py -= s * tubes[n, 4]
    px -= s * tubes[n, 5]
    return np.sqrt(pz * pz + py * py + px * px) - (tubes[n, 7] + s * tubes[n, 8])
