"""Every voxel to the neurite whose tube is nearest: labels, membranes and grey levels, brick by brick.

The measure is distance to the tube's axis less its radius, an additively weighted Voronoi diagram of curves. A region of such
a diagram is connected when its curve is (walk straight to the curve: every step lowers this measure by its length, and no
other by more), so a neurite is one object up to what the voxel grid cannot resolve.

Work goes by bricks of a few voxels that lie on a lattice anchored at the volume's first voxel. The distortion is evaluated at
their corners, and few tubes can be nearest inside one; a brick is the same whatever box asked for it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from axonloom.phantom.appearance import (
    grain,
    grey,
    mitochondrion_distance,
    section_look,
    section_shift,
)
from axonloom.phantom.noise import warp
from axonloom.phantom.skeleton import (
    ALONG,
    AX,
    AY,
    AZ,
    BX,
    BY,
    BZ,
    COARSE,
    FAMILY,
    KIND,
    RA,
    RB,
    capsule_metric,
)

LABELS_ONLY, IMAGE_TOO, ORGANELLES = 0, 1, 2

# Numbers of the microscope, in the order of Phantom._look.
BLUR, NOISE, SHIFT, CONTRAST, BRIGHTNESS = range(5)


@njit(nogil=True, cache=True)
def _prune(
    capsules: np.ndarray,
    names: np.ndarray,
    chosen: np.ndarray,
    count: int,
    centre: np.ndarray,
    radius: float,
    kept: np.ndarray,
    measure: np.ndarray,
) -> int:
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


@njit(nogil=True, cache=True)
def _away(capsule: np.ndarray, place: np.ndarray, out: np.ndarray) -> float:
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


@njit(nogil=True, cache=True)
def _bricks_warp(key: int, octaves: np.ndarray, start: np.ndarray, size: np.ndarray, corners: np.ndarray) -> None:
    """Distorted places of the eight corners of a box (nm), into ``corners`` (2, 2, 2, 3)."""
    point = np.empty(3)
    for a in range(2):
        for b in range(2):
            for c in range(2):
                point[0] = start[0] + a * size[0]
                point[1] = start[1] + b * size[1]
                point[2] = start[2] + c * size[2]
                warp(key, octaves, point, corners[a, b, c])


@njit(nogil=True, cache=True)
def render(
    key: int,
    octaves: np.ndarray,
    frames: np.ndarray,
    levels: np.ndarray,
    voxel: np.ndarray,
    brick: np.ndarray,
    look: np.ndarray,
    capsules: np.ndarray,
    names: np.ndarray,
    mitos: np.ndarray,
    mito_names: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    what: int,
    labels: np.ndarray,
    image: np.ndarray,
) -> None:
    """Fill ``labels`` (uint64) and, unless ``what`` is LABELS_ONLY, ``image`` (uint8) for the voxels from ``low`` to ``high``.

    With ORGANELLES, ``image`` is 1 in mitochondria and 0 elsewhere. ``capsules`` and ``mitos`` are all that can matter there.
    """
    total = len(capsules)
    everything = np.arange(total)
    chosen, near = np.empty(total, np.int64), np.empty(total, np.int64)
    measure = np.empty(max(total, len(mitos)))
    mitos_near = np.empty(len(mitos), np.int64)
    corners = np.empty((2, 2, 2, 3))
    centre, place, real = np.empty(3), np.empty(3), np.empty(3)
    start, size = np.empty(3), np.empty(3)
    one, two, turn, slope = np.empty(4), np.empty(4), np.empty(3), np.empty((3, 3))
    group = 4
    first = np.empty(3, np.int64)
    last = np.empty(3, np.int64)
    for axis in range(3):
        first[axis] = low[axis] // brick[axis]
        last[axis] = (high[axis] - 1) // brick[axis]
    for gz in range(first[0] // group, last[0] // group + 1):
        for gy in range(first[1] // group, last[1] // group + 1):
            for gx in range(first[2] // group, last[2] // group + 1):
                g = (gz, gy, gx)
                for axis in range(3):
                    size[axis] = group * brick[axis] * voxel[axis]
                    start[axis] = g[axis] * size[axis]
                _bricks_warp(key, octaves, start, size, corners)
                for axis in range(3):
                    centre[axis] = corners[:, :, :, axis].mean()
                radius = 0.0
                for n in range(8):
                    corner = corners[(n >> 2) & 1, (n >> 1) & 1, n & 1]
                    off = np.sqrt(((corner - centre) ** 2).sum())
                    radius = max(radius, off)
                in_group = _prune(
                    capsules, names, everything, total, centre, 1.2 * radius + 40.0 + look[SHIFT], chosen, measure
                )
                for bz in range(max(first[0], gz * group), min(last[0], gz * group + group - 1) + 1):
                    for by in range(max(first[1], gy * group), min(last[1], gy * group + group - 1) + 1):
                        for bx in range(max(first[2], gx * group), min(last[2], gx * group + group - 1) + 1):
                            b = (bz, by, bx)
                            for axis in range(3):
                                size[axis] = brick[axis] * voxel[axis]
                                start[axis] = b[axis] * size[axis]
                            _bricks_warp(key, octaves, start, size, corners)
                            for axis in range(3):
                                centre[axis] = corners[:, :, :, axis].mean()
                            radius = 0.0
                            for n in range(8):
                                corner = corners[(n >> 2) & 1, (n >> 1) & 1, n & 1]
                                off = np.sqrt(((corner - centre) ** 2).sum())
                                radius = max(radius, off)
                            radius += look[SHIFT]
                            count = _prune(capsules, names, chosen, in_group, centre, radius, near, measure)
                            mito_count = 0
                            if what != LABELS_ONLY:
                                for n in range(len(mitos)):
                                    if (
                                        mitochondrion_distance(mitos[n], centre[0], centre[1], centre[2])
                                        < radius + 60.0
                                    ):
                                        mitos_near[mito_count] = n
                                        mito_count += 1
                                # How the distortion stretches this brick: rows are image axes, columns distorted ones.
                                for axis in range(3):
                                    slope[0, axis] = (
                                        corners[1, :, :, axis].mean() - corners[0, :, :, axis].mean()
                                    ) / size[0]
                                    slope[1, axis] = (
                                        corners[:, 1, :, axis].mean() - corners[:, 0, :, axis].mean()
                                    ) / size[1]
                                    slope[2, axis] = (
                                        corners[:, :, 1, axis].mean() - corners[:, :, 0, axis].mean()
                                    ) / size[2]
                            for z in range(max(low[0], bz * brick[0]), min(high[0], (bz + 1) * brick[0])):
                                wz = (z - bz * brick[0] + 0.5) / brick[0]
                                move_y, move_x = section_shift(key, z)
                                contrast, brightness = section_look(key, z)
                                for y in range(max(low[1], by * brick[1]), min(high[1], (by + 1) * brick[1])):
                                    wy = (y - by * brick[1] + 0.5) / brick[1]
                                    for x in range(max(low[2], bx * brick[2]), min(high[2], (bx + 1) * brick[2])):
                                        wx = (x - bx * brick[2] + 0.5) / brick[2]
                                        for axis in range(3):
                                            a = corners[0, 0, 0, axis] * (1 - wx) + corners[0, 0, 1, axis] * wx
                                            c = corners[0, 1, 0, axis] * (1 - wx) + corners[0, 1, 1, axis] * wx
                                            e = corners[1, 0, 0, axis] * (1 - wx) + corners[1, 0, 1, axis] * wx
                                            f = corners[1, 1, 0, axis] * (1 - wx) + corners[1, 1, 1, axis] * wx
                                            a = a * (1 - wy) + c * wy
                                            e = e * (1 - wy) + f * wy
                                            place[axis] = a * (1 - wz) + e * wz
                                        place[1] += look[SHIFT] * move_y
                                        place[2] += look[SHIFT] * move_x
                                        m1, m2 = np.inf, np.inf
                                        c1, c2 = -1, -1
                                        name = np.uint64(0)
                                        for n in range(count):
                                            which = near[n]
                                            here = capsule_metric(capsules[which], place[0], place[1], place[2])
                                            if here < m1:
                                                if names[which] != name:
                                                    m2, c2 = m1, c1
                                                m1, c1 = here, which
                                                name = names[which]
                                            elif here < m2 and names[which] != name:
                                                m2, c2 = here, which
                                        oz, oy, ox = z - low[0], y - low[1], x - low[2]
                                        labels[oz, oy, ox] = name
                                        if what == LABELS_ONLY or c1 < 0:
                                            continue
                                        away = _away(capsules[c1], place, one)
                                        membrane = 1000.0
                                        if c2 >= 0:
                                            _away(capsules[c2], place, two)
                                            steep = 0.0
                                            for axis in range(3):
                                                part = 0.0
                                                for other in range(3):
                                                    part += slope[axis, other] * (two[other] - one[other])
                                                steep += part * part
                                            membrane = (m2 - m1) / max(0.6, np.sqrt(steep))
                                        mito = np.inf
                                        dice = 0.0
                                        for n in range(mito_count):
                                            which = mitos_near[n]
                                            if mito_names[which] == name:
                                                here = mitochondrion_distance(
                                                    mitos[which], place[0], place[1], place[2]
                                                )
                                                if here < mito:
                                                    mito, dice = here, mitos[which, 7]
                                        mito = max(mito, 30.0 - membrane)
                                        if what == ORGANELLES:
                                            image[oz, oy, ox] = 1 if mito < 0.0 else 0
                                            continue
                                        level = COARSE if capsules[c1, KIND] == COARSE else 1
                                        family = np.int64(capsules[c1, FAMILY]) % 3
                                        for axis in range(3):
                                            turn[axis] = away * (
                                                frames[level, 0, axis] * one[0]
                                                + frames[level, 1, axis] * one[1]
                                                + frames[level, 2, axis] * one[2]
                                            )
                                        real[0] = (z + 0.5) * voxel[0]
                                        real[1] = (y + 0.5) * voxel[1] + look[SHIFT] * move_y
                                        real[2] = (x + 0.5) * voxel[2] + look[SHIFT] * move_x
                                        value = grey(
                                            key,
                                            name,
                                            level == COARSE,
                                            real,
                                            capsules[c1, ALONG] + one[3] * levels[level, 0],
                                            turn[(family + 1) % 3],
                                            turn[(family + 2) % 3],
                                            membrane,
                                            mito,
                                            dice,
                                            look[BLUR],
                                        )
                                        value += look[NOISE] * grain(key, z, y, x)
                                        value = 128.0 + (value - 128.0) * (1.0 + look[CONTRAST] * contrast)
                                        value += look[BRIGHTNESS] * brightness
                                        image[oz, oy, ox] = np.uint8(min(255.0, max(0.0, value + 0.5)))
