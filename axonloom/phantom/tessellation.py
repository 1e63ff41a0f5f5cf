"""Every voxel to the neurite whose tube is nearest: labels, membranes and grey levels, brick by brick.

The measure is distance to the tube's axis less its radius, an additively weighted Voronoi diagram of curves. A region of such
a diagram is connected when its curve is (walk straight to the curve: every step lowers this measure by its length, and no
other by more), so a neurite is one object up to what the voxel grid cannot resolve.

Work goes by bricks of a few voxels that lie on a lattice anchored at the volume's first voxel. The distortion is evaluated at
their corners, and few tubes can be nearest inside one; a brick is the same whatever box asked for it.
"""

from __future__ import annotations

from typing import NamedTuple

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
    FINE,
    KIND,
    PITCH,
    RA,
    RB,
    capsule_metric,
)

LABELS_ONLY, IMAGE_TOO, ORGANELLES = 0, 1, 2

# Numbers of the microscope, in the order of Phantom._look.
BLUR, NOISE, SHIFT, CONTRAST, BRIGHTNESS = range(5)


# A brick group is this many bricks wide; what can matter is looked up for the group first.
_GROUP = 4
# Keeps the distance to a surface finite where two tubes lie in one direction.
_BLUNT = 0.3
# Columns of a tube: what the innermost loop needs of a capsule, worked out once a brick.
TUBE_COLUMNS = 9


class World(NamedTuple):
    """What does not change over a volume: ``octaves`` of the distortion (nm), ``frames`` (2, 3, 3) and ``levels`` of the lattices,
    the ``voxel`` in nm, the ``brick`` in voxels, and the ``look``: the numbers of the microscope."""

    octaves: np.ndarray
    frames: np.ndarray
    levels: np.ndarray
    voxel: np.ndarray
    brick: np.ndarray
    look: np.ndarray


class Content(NamedTuple):
    """The capsules and mitochondria of one neighbourhood, with the ids of their neurites."""

    capsules: np.ndarray
    names: np.ndarray
    mitos: np.ndarray
    mito_names: np.ndarray


class Room(NamedTuple):
    """Working memory of the kernels."""

    corners: np.ndarray
    near: np.ndarray
    tubes: np.ndarray
    measure: np.ndarray
    mitos_near: np.ndarray


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
def _corners_of(key: int, octaves: np.ndarray, start: np.ndarray, size: np.ndarray, corners: np.ndarray) -> None:
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
def distorted_bounds(key: int, octaves: np.ndarray, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A box (nm) that holds the distorted places of the box from ``low`` to ``high``, from 9 x 9 x 9 of them."""
    point, moved = np.empty(3), np.empty(3)
    first, last = np.full(3, np.inf), np.full(3, -np.inf)
    for a in range(9):
        for b in range(9):
            for c in range(9):
                point[0] = low[0] + (high[0] - low[0]) * a / 8.0
                point[1] = low[1] + (high[1] - low[1]) * b / 8.0
                point[2] = low[2] + (high[2] - low[2]) * c / 8.0
                warp(key, octaves, point, moved)
                for axis in range(3):
                    first[axis] = min(first[axis], moved[axis])
                    last[axis] = max(last[axis], moved[axis])
    return first - 60.0, last + 60.0


@njit(nogil=True, cache=True)
def _ball(corners: np.ndarray, centre: np.ndarray) -> float:
    """The mean of eight corners into ``centre``; returns the distance to the farthest."""
    for axis in range(3):
        centre[axis] = corners[:, :, :, axis].mean()
    radius = 0.0
    for n in range(8):
        corner = corners[(n >> 2) & 1, (n >> 1) & 1, n & 1]
        radius = max(radius, np.sqrt(((corner - centre) ** 2).sum()))
    return radius


@njit(nogil=True, cache=True)
def _as_tubes(capsules: np.ndarray, near: np.ndarray, count: int, tubes: np.ndarray) -> None:
    """End, axis, 1 / length squared, radius and its change, for each of the first ``count`` of ``near``."""
    for n in range(count):
        one = capsules[near[n]]
        dz, dy, dx = one[BZ] - one[AZ], one[BY] - one[AY], one[BX] - one[AX]
        length = dz * dz + dy * dy + dx * dx
        tubes[n, 0], tubes[n, 1], tubes[n, 2] = one[AZ], one[AY], one[AX]
        tubes[n, 3], tubes[n, 4], tubes[n, 5] = dz, dy, dx
        tubes[n, 6] = 1.0 / length if length > 0.0 else 0.0
        tubes[n, 7], tubes[n, 8] = one[RA], one[RB] - one[RA]


@njit(nogil=True, cache=True, inline="always")
def _tube_metric(tubes: np.ndarray, n: int, z: float, y: float, x: float) -> float:
    pz, py, px = z - tubes[n, 0], y - tubes[n, 1], x - tubes[n, 2]
    s = (pz * tubes[n, 3] + py * tubes[n, 4] + px * tubes[n, 5]) * tubes[n, 6]
    s = min(1.0, max(0.0, s))
    pz -= s * tubes[n, 3]
    py -= s * tubes[n, 4]
    px -= s * tubes[n, 5]
    return np.sqrt(pz * pz + py * py + px * px) - (tubes[n, 7] + s * tubes[n, 8])


@njit(nogil=True, cache=True, inline="always")
def _between(corners: np.ndarray, wz: float, wy: float, wx: float, out: np.ndarray) -> None:
    """The trilinear mean of eight places into ``out`` (3,)."""
    for axis in range(3):
        a = corners[0, 0, 0, axis] * (1 - wx) + corners[0, 0, 1, axis] * wx
        b = corners[0, 1, 0, axis] * (1 - wx) + corners[0, 1, 1, axis] * wx
        c = corners[1, 0, 0, axis] * (1 - wx) + corners[1, 0, 1, axis] * wx
        d = corners[1, 1, 0, axis] * (1 - wx) + corners[1, 1, 1, axis] * wx
        out[axis] = (a * (1 - wy) + b * wy) * (1 - wz) + (c * (1 - wy) + d * wy) * wz


@njit(nogil=True, cache=True)
def _membrane_distance(
    content: Content,
    near: np.ndarray,
    count: int,
    measure: np.ndarray,
    best: int,
    place: np.ndarray,
    slope: np.ndarray,
    one: np.ndarray,
) -> float:
    """Distance in the image (nm, at most 80) to the nearest surface between this neurite and another.

    The difference of two measures, over how fast it changes in the image: exact for a plane, and continuous as the nearest of
    all neighbours. ``one``: unit vector away from the axis of the winner, ``best``.
    """
    two = np.empty(4)
    nearest = 80.0
    name = content.names[near[best]]
    for n in range(count):
        gap = measure[n] - measure[best]
        if gap > 3.5 * nearest or content.names[near[n]] == name:
            continue
        _away(content.capsules[near[n]], place, two)
        steep = 0.0
        for axis in range(3):
            part = 0.0
            for other in range(3):
                part += slope[axis, other] * (two[other] - one[other])
            steep += part * part
        nearest = min(nearest, gap / np.sqrt(steep + _BLUNT))
    return nearest


@njit(nogil=True, cache=True)
def _brick(
    key: int,
    world: World,
    content: Content,
    at: np.ndarray,
    chosen: np.ndarray,
    in_group: int,
    room: Room,
    low: np.ndarray,
    high: np.ndarray,
    what: int,
    labels: np.ndarray,
    image: np.ndarray,
) -> None:
    """The voxels of the brick ``at`` (zyx index) that lie from ``low`` to ``high``."""
    look, brick = world.look, world.brick
    corners, near, tubes, measure = room.corners, room.near, room.tubes, room.measure
    centre, place, real, turn = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    one, slope = np.empty(4), np.empty((3, 3))
    size = brick * world.voxel
    _corners_of(key, world.octaves, at * size, size, corners)
    radius = _ball(corners, centre) + look[SHIFT]
    count = _prune(content.capsules, content.names, chosen, in_group, centre, radius, near, measure)
    if count == 0:
        return
    _as_tubes(content.capsules, near, count, tubes)
    mito_count = 0
    if what != LABELS_ONLY:
        for n in range(len(content.mitos)):
            if mitochondrion_distance(content.mitos[n], centre[0], centre[1], centre[2]) < radius + 60.0:
                room.mitos_near[mito_count] = n
                mito_count += 1
        # How the distortion stretches this brick: rows are image axes, columns distorted ones.
        for axis in range(3):
            slope[0, axis] = (corners[1, :, :, axis].mean() - corners[0, :, :, axis].mean()) / size[0]
            slope[1, axis] = (corners[:, 1, :, axis].mean() - corners[:, 0, :, axis].mean()) / size[1]
            slope[2, axis] = (corners[:, :, 1, axis].mean() - corners[:, :, 0, axis].mean()) / size[2]
    for z in range(max(low[0], at[0] * brick[0]), min(high[0], (at[0] + 1) * brick[0])):
        wz = (z - at[0] * brick[0] + 0.5) / brick[0]
        move_y, move_x = section_shift(key, z)
        contrast, brightness = section_look(key, z)
        move_y *= look[SHIFT]
        move_x *= look[SHIFT]
        for y in range(max(low[1], at[1] * brick[1]), min(high[1], (at[1] + 1) * brick[1])):
            wy = (y - at[1] * brick[1] + 0.5) / brick[1]
            for x in range(max(low[2], at[2] * brick[2]), min(high[2], (at[2] + 1) * brick[2])):
                _between(corners, wz, wy, (x - at[2] * brick[2] + 0.5) / brick[2], place)
                place[1] += move_y
                place[2] += move_x
                best = 0
                for n in range(count):
                    measure[n] = _tube_metric(tubes, n, place[0], place[1], place[2])
                    if measure[n] < measure[best]:
                        best = n
                winner = near[best]
                name = content.names[winner]
                oz, oy, ox = z - low[0], y - low[1], x - low[2]
                labels[oz, oy, ox] = name
                if what == LABELS_ONLY:
                    continue
                capsule = content.capsules[winner]
                away = _away(capsule, place, one)
                membrane = _membrane_distance(content, near, count, measure, best, place, slope, one)
                mito, dice = 1000.0, 0.0
                for n in range(mito_count):
                    which = room.mitos_near[n]
                    if content.mito_names[which] == name:
                        here = mitochondrion_distance(content.mitos[which], place[0], place[1], place[2])
                        if here < mito:
                            mito, dice = here, content.mitos[which, 7]
                mito = max(mito, 30.0 - membrane)
                if what == ORGANELLES:
                    image[oz, oy, ox] = 1 if mito < 0.0 else 0
                    continue
                level = COARSE if capsule[KIND] == COARSE else FINE
                family = np.int64(capsule[FAMILY]) % 3
                frame = world.frames[level]
                for axis in range(3):
                    turn[axis] = away * (frame[0, axis] * one[0] + frame[1, axis] * one[1] + frame[2, axis] * one[2])
                real[0] = (z + 0.5) * world.voxel[0]
                real[1] = (y + 0.5) * world.voxel[1] + move_y
                real[2] = (x + 0.5) * world.voxel[2] + move_x
                along = capsule[ALONG] + one[3] * world.levels[level, PITCH]
                side, up = turn[(family + 1) % 3], turn[(family + 2) % 3]
                value = grey(key, name, level == COARSE, real, along, side, up, membrane, mito, dice, look[BLUR])
                value += look[NOISE] * grain(key, z, y, x)
                value = 128.0 + (value - 128.0) * (1.0 + look[CONTRAST] * contrast) + look[BRIGHTNESS] * brightness
                image[oz, oy, ox] = np.uint8(min(255.0, max(0.0, value + 0.5)))


@njit(nogil=True, cache=True)
def render(
    key: int,
    world: World,
    content: Content,
    low: np.ndarray,
    high: np.ndarray,
    what: int,
    labels: np.ndarray,
    image: np.ndarray,
) -> None:
    """Fill ``labels`` (uint64) and, unless ``what`` is LABELS_ONLY, ``image`` (uint8) for the voxels from ``low`` to ``high``.

    With ORGANELLES, ``image`` is 1 in mitochondria and 0 elsewhere. ``content`` is all that can matter there.
    """
    total = len(content.capsules)
    everything = np.arange(total)
    chosen = np.empty(total, np.int64)
    room = Room(
        np.empty((2, 2, 2, 3)),
        np.empty(total, np.int64),
        np.empty((total, TUBE_COLUMNS)),
        np.empty(total),
        np.empty(len(content.mitos), np.int64),
    )
    centre = np.empty(3)
    at = np.empty(3, np.int64)
    group = world.brick * _GROUP
    size = group * world.voxel
    for gz in range(low[0] // group[0], (high[0] - 1) // group[0] + 1):
        for gy in range(low[1] // group[1], (high[1] - 1) // group[1] + 1):
            for gx in range(low[2] // group[2], (high[2] - 1) // group[2] + 1):
                at[0], at[1], at[2] = gz, gy, gx
                _corners_of(key, world.octaves, at * size, size, room.corners)
                # The inside of a bent box reaches beyond its corners.
                radius = 1.2 * _ball(room.corners, centre) + 40.0 + world.look[SHIFT]
                kept = _prune(content.capsules, content.names, everything, total, centre, radius, chosen, room.measure)
                for number in range(_GROUP**3):
                    at[0] = gz * _GROUP + number // _GROUP**2
                    at[1] = gy * _GROUP + number // _GROUP % _GROUP
                    at[2] = gx * _GROUP + number % _GROUP
                    _brick(key, world, content, at, chosen, kept, room, low, high, what, labels, image)
