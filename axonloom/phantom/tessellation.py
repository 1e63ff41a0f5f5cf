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

from axonloom.kernel import kernel
from axonloom.phantom.appearance import (
    grain,
    grey,
    mitochondrion_distance,
    section_look,
    section_shift,
)
from axonloom.phantom.distortion import ball, between, corners_of
from axonloom.phantom.noise import Real, Whole
from axonloom.phantom.skeleton import (
    ALONG,
    COARSE,
    FAMILY,
    FINE,
    KIND,
    PITCH,
)
from axonloom.phantom.tubes import TUBE_COLUMNS, as_tubes, away, prune, tube_metric

LABELS_ONLY, IMAGE_TOO, ORGANELLES = 0, 1, 2

# Numbers of the microscope, in the order of Phantom._look.
BLUR, NOISE, SHIFT, CONTRAST, BRIGHTNESS = range(5)


# A brick group is this many bricks wide; what can matter is looked up for the group first.
_GROUP = 4
# Keeps the distance to a surface finite where two tubes lie in one direction.
_BLUNT = 0.3


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


@kernel
def _membrane_distance(
    content: Content,
    near: np.ndarray,
    count: Whole,
    measure: np.ndarray,
    best: Whole,
    place: np.ndarray,
    slope: np.ndarray,
    one: np.ndarray,
) -> Real:
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
        away(content.capsules[near[n]], place, two)
        steep = 0.0
        for axis in range(3):
            part = 0.0
            for other in range(3):
                part += slope[axis, other] * (two[other] - one[other])
            steep += part * part
        nearest = min(nearest, gap / np.sqrt(steep + _BLUNT))
    return nearest


@kernel
def _brick(
    key: Whole,
    world: World,
    content: Content,
    at: np.ndarray,
    chosen: np.ndarray,
    in_group: Whole,
    room: Room,
    low: np.ndarray,
    high: np.ndarray,
    what: Whole,
    labels: np.ndarray,
    image: np.ndarray,
) -> None:
    """The voxels of the brick ``at`` (zyx index) that lie from ``low`` to ``high``."""
    look, brick = world.look, world.brick
    corners, near, tubes, measure = room.corners, room.near, room.tubes, room.measure
    centre, place, real, turn = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    one, slope = np.empty(4), np.empty((3, 3))
    size = brick * world.voxel
    corners_of(key, world.octaves, at * size, size, corners)
    radius = ball(corners, centre) + look[SHIFT]
    count = prune(content.capsules, content.names, chosen, in_group, centre, radius, near, measure)
    if count == 0:
        return
    as_tubes(content.capsules, near, count, tubes)
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
                between(corners, wz, wy, (x - at[2] * brick[2] + 0.5) / brick[2], place)
                place[1] += move_y
                place[2] += move_x
                best = 0
                for n in range(count):
                    measure[n] = tube_metric(tubes, n, place[0], place[1], place[2])
                    if measure[n] < measure[best]:
                        best = n
                winner = near[best]
                name = np.uint64(content.names[winner])
                oz, oy, ox = z - low[0], y - low[1], x - low[2]
                labels[oz, oy, ox] = name
                if what == LABELS_ONLY:
                    continue
                capsule = content.capsules[winner]
                far = away(capsule, place, one)
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
                    turn[axis] = far * (frame[0, axis] * one[0] + frame[1, axis] * one[1] + frame[2, axis] * one[2])
                real[0] = (z + 0.5) * world.voxel[0]
                real[1] = (y + 0.5) * world.voxel[1] + move_y
                real[2] = (x + 0.5) * world.voxel[2] + move_x
                along = capsule[ALONG] + one[3] * world.levels[level, PITCH]
                side, up = turn[(family + 1) % 3], turn[(family + 2) % 3]
                value = grey(key, name, level == COARSE, real, along, side, up, membrane, mito, dice, look[BLUR])
                value += look[NOISE] * grain(key, z, y, x)
                value = 128.0 + (value - 128.0) * (1.0 + look[CONTRAST] * contrast) + look[BRIGHTNESS] * brightness
                image[oz, oy, ox] = np.uint8(min(255.0, max(0.0, value + 0.5)))


@kernel
def render(
    key: Whole,
    world: World,
    content: Content,
    low: np.ndarray,
    high: np.ndarray,
    what: Whole,
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
                corners_of(key, world.octaves, at * size, size, room.corners)
                # The inside of a bent box reaches beyond its corners.
                radius = 1.2 * ball(room.corners, centre) + 40.0 + world.look[SHIFT]
                kept = prune(content.capsules, content.names, everything, total, centre, radius, chosen, room.measure)
                for number in range(_GROUP**3):
                    at[0] = gz * _GROUP + number // _GROUP**2
                    at[1] = gy * _GROUP + number // _GROUP % _GROUP
                    at[2] = gx * _GROUP + number % _GROUP
                    _brick(key, world, content, at, chosen, kept, room, low, high, what, labels, image)
