"""The skeletons of the neurites: curves that never cross, found from a place without knowing the rest.

Two lattices of rods, a coarse one for thick dendrites and a fine one for axons and twigs. In each, rods run along all three
axes of a turned lattice and pass each other at half a pitch: the primitive cubic rod packing (O'Keeffe and Andersson 1977).
Nodes along a rod are jittered by less than a quarter pitch, so curves of different rods keep apart. A fine rod stops where a
dendrite is, and is cut now and then; the stretch between is one neurite, named after its first node. Some stretches are not
objects of their own but branches: their first node is joined to the dendrite that stopped them, or to a neighbouring rod.

Everything is in nm, zyx, in the undistorted space (see ``noise.warp``).
"""

from __future__ import annotations

import numpy as np

from axonloom.kernel import kernel
from axonloom.phantom.noise import Real, Whole, cell_hash, draw, scramble, unit

COARSE, FINE = 0, 1

# Columns of the table of levels (one row a lattice).
PITCH, JITTER, THIN, THICK, SKEW, ABSENT, CUT, JOIN, BRIDGE = range(9)
LEVEL_COLUMNS = 9

# Columns of a capsule: two ends, two radii, where on its rod the first end lies, and two numbers of its own.
CAPSULE_COLUMNS = 12
AZ, AY, AX, BZ, BY, BX, RA, RB, ALONG, FAMILY, DICE, KIND = range(CAPSULE_COLUMNS)

_LONGEST = 4096
_ABSENT_RUN = 12
_AXIS = np.int64(1 << 19)
_MASK = np.int64((1 << 20) - 1)


@kernel
def name_of(level: Whole, family: Whole, i: Whole, j: Whole, t: Whole) -> Whole:
    """The uint64 id of the neurite that begins at this node: one to one within +-2^19 lattice cells."""
    word = (np.int64(level) << np.int64(2)) | np.int64(family)
    word = (word << np.int64(20)) | ((np.int64(i) + _AXIS) & _MASK)
    word = (word << np.int64(20)) | ((np.int64(j) + _AXIS) & _MASK)
    word = (word << np.int64(20)) | ((np.int64(t) + _AXIS) & _MASK)
    return np.uint64(word + 1)


@kernel
def _rod_hash(key: Whole, level: Whole, family: Whole, i: Whole, j: Whole) -> Whole:
    return cell_hash(key + np.uint64(level * 3 + family + 1), i, j, 77)


@kernel
def node(
    key: Whole,
    levels: np.ndarray,
    frames: np.ndarray,
    level: Whole,
    family: Whole,
    i: Whole,
    j: Whole,
    t: Whole,
    out: np.ndarray,
) -> None:
    """Place (zyx nm) and radius of a node into ``out`` (4,)."""
    row = levels[level]
    rod = _rod_hash(key, level, family, i, j)
    word = cell_hash(rod, t, 11, 5)
    jitter = 2.0 * row[JITTER]
    across, over = (family + 1) % 3, (family + 2) % 3
    place = np.empty(3)
    place[family] = t + jitter * (draw(word, 1) - 0.5)
    place[across] = i + jitter * (draw(word, 2) - 0.5)
    place[over] = j + 0.5 + jitter * (draw(word, 3) - 0.5)
    frame = frames[level]
    for axis in range(3):
        out[axis] = row[PITCH] * (frame[axis, 0] * place[0] + frame[axis, 1] * place[1] + frame[axis, 2] * place[2])
    base = draw(rod, 4) ** row[SKEW]
    out[3] = row[THIN] + (row[THICK] - row[THIN]) * min(1.0, base * (0.7 + 0.7 * draw(word, 5)))


@kernel
def _present(key: Whole, levels: np.ndarray, level: Whole, family: Whole, i: Whole, j: Whole, t: Whole) -> bool:
    """Whether the rod exists here, dendrites aside."""
    rod = _rod_hash(key, level, family, i, j)
    return unit(cell_hash(rod, t // _ABSENT_RUN, 3, 9)) >= levels[level, ABSENT]


@kernel
def to_lattice(levels: np.ndarray, frames: np.ndarray, level: Whole, point: np.ndarray, out: np.ndarray) -> None:
    """nm to lattice coordinates: the frame is a rotation, so its transpose turns back."""
    frame = frames[level]
    for axis in range(3):
        out[axis] = (frame[0, axis] * point[0] + frame[1, axis] * point[1] + frame[2, axis] * point[2]) / levels[
            level, PITCH
        ]


@kernel
def capsule_metric(capsule: np.ndarray, z: Real, y: Real, x: Real) -> Real:
    """Distance to the capsule's axis less its radius there, nm."""
    dz, dy, dx = capsule[BZ] - capsule[AZ], capsule[BY] - capsule[AY], capsule[BX] - capsule[AX]
    pz, py, px = z - capsule[AZ], y - capsule[AY], x - capsule[AX]
    length = dz * dz + dy * dy + dx * dx
    s = 0.0 if length == 0.0 else (pz * dz + py * dy + px * dx) / length
    s = min(1.0, max(0.0, s))
    pz -= s * dz
    py -= s * dy
    px -= s * dx
    return np.sqrt(pz * pz + py * py + px * px) - (capsule[RA] + s * (capsule[RB] - capsule[RA]))


@kernel
def _coarse_linked(key: Whole, levels: np.ndarray, family: Whole, i: Whole, j: Whole, t: Whole) -> bool:
    """Whether a dendrite runs from node t to node t + 1 of this rod."""
    if not (_present(key, levels, COARSE, family, i, j, t) and _present(key, levels, COARSE, family, i, j, t + 1)):
        return False
    return unit(cell_hash(_rod_hash(key, COARSE, family, i, j), t, 23, 1)) >= levels[COARSE, CUT]


@kernel
def _coarse_start(key: Whole, levels: np.ndarray, family: Whole, i: Whole, j: Whole, t: Whole) -> Whole:
    steps = 0
    while steps < _LONGEST and _coarse_linked(key, levels, family, i, j, t - 1):
        t -= 1
        steps += 1
    return t


@kernel
def _fill_capsule(
    key: Whole,
    levels: np.ndarray,
    frames: np.ndarray,
    level: Whole,
    family: Whole,
    i: Whole,
    j: Whole,
    t: Whole,
    out: np.ndarray,
) -> None:
    """The capsule from node t to node t + 1 of a rod, into ``out`` (CAPSULE_COLUMNS,)."""
    end = np.empty(4)
    node(key, levels, frames, level, family, i, j, t, end)
    out[AZ], out[AY], out[AX], out[RA] = end[0], end[1], end[2], end[3]
    node(key, levels, frames, level, family, i, j, t + 1, end)
    out[BZ], out[BY], out[BX], out[RB] = end[0], end[1], end[2], end[3]
    out[ALONG] = t * levels[level, PITCH]
    out[FAMILY] = level * 3 + family
    out[DICE] = unit(cell_hash(_rod_hash(key, level, family, i, j), t, 41, 2))
    out[KIND] = level


@kernel
def nearest_dendrite(key: Whole, levels: np.ndarray, frames: np.ndarray, point: np.ndarray, which: np.ndarray) -> Real:
    """Signed distance (nm, negative inside) to the nearest dendrite, and its link into ``which`` (4,) int64.

    Looks one coarse cell around and answers infinity beyond that.
    """
    q = np.empty(3)
    capsule = np.empty(CAPSULE_COLUMNS)
    to_lattice(levels, frames, COARSE, point, q)
    best = np.inf
    for family in range(3):
        along = np.int64(np.floor(q[family]))
        low_i = np.int64(np.floor(q[(family + 1) % 3]))
        low_j = np.int64(np.floor(q[(family + 2) % 3] - 0.5))
        for i in range(low_i, low_i + 2):
            for j in range(low_j, low_j + 2):
                for t in range(along - 1, along + 2):
                    if not _coarse_linked(key, levels, family, i, j, t):
                        continue
                    _fill_capsule(key, levels, frames, COARSE, family, i, j, t, capsule)
                    here = capsule_metric(capsule, point[0], point[1], point[2])
                    if here < best:
                        best = here
                        which[0], which[1], which[2], which[3] = family, i, j, t
    return best


@kernel
def _free(key: Whole, levels: np.ndarray, frames: np.ndarray, family: Whole, i: Whole, j: Whole, t: Whole) -> bool:
    """Whether a fine rod has a node here: present, and clear of every dendrite."""
    if not _present(key, levels, FINE, family, i, j, t):
        return False
    place = np.empty(4)
    which = np.empty(4, np.int64)
    node(key, levels, frames, FINE, family, i, j, t, place)
    return nearest_dendrite(key, levels, frames, place[:3], which) > 0.16 * levels[FINE, PITCH] - place[3]


@kernel
def _midway_free(
    key: Whole, levels: np.ndarray, frames: np.ndarray, family: Whole, i: Whole, j: Whole, t: Whole
) -> bool:
    a, b = np.empty(4), np.empty(4)
    which = np.empty(4, np.int64)
    node(key, levels, frames, FINE, family, i, j, t, a)
    node(key, levels, frames, FINE, family, i, j, t + 1, b)
    middle = 0.5 * (a + b)
    return nearest_dendrite(key, levels, frames, middle[:3], which) > 0.16 * levels[FINE, PITCH] - middle[3]


@kernel
def fine_linked(
    key: Whole, levels: np.ndarray, frames: np.ndarray, family: Whole, i: Whole, j: Whole, t: Whole
) -> bool:
    """Whether a fine neurite runs from node t to node t + 1 of this rod."""
    if unit(cell_hash(_rod_hash(key, FINE, family, i, j), t, 23, 1)) < levels[FINE, CUT]:
        return False
    return (
        _free(key, levels, frames, family, i, j, t)
        and _free(key, levels, frames, family, i, j, t + 1)
        and _midway_free(key, levels, frames, family, i, j, t)
    )


@kernel
def _fine_start(
    key: Whole, levels: np.ndarray, frames: np.ndarray, family: Whole, i: Whole, j: Whole, t: Whole
) -> Whole:
    steps = 0
    while steps < _LONGEST and fine_linked(key, levels, frames, family, i, j, t - 1):
        t -= 1
        steps += 1
    return t


@kernel
def _joined_dendrite(
    key: Whole, levels: np.ndarray, frames: np.ndarray, family: Whole, i: Whole, j: Whole, start: Whole, end: np.ndarray
) -> Whole:
    """Id of the dendrite whose branch this stretch is, or 0; the place where it joins goes into ``end`` (4,)."""
    rod = _rod_hash(key, FINE, family, i, j)
    if unit(cell_hash(rod, start, 31, 4)) >= levels[FINE, JOIN]:
        return np.uint64(0)
    which = np.empty(4, np.int64)
    node(key, levels, frames, FINE, family, i, j, start - 1, end)
    if nearest_dendrite(key, levels, frames, end[:3], which) > -0.15 * levels[FINE, PITCH]:
        return np.uint64(0)
    first = _coarse_start(key, levels, which[0], which[1], which[2], which[3])
    return name_of(COARSE, which[0], which[1], which[2], first)


@kernel
def _would_bridge(key: Whole, levels: np.ndarray, family: Whole, i: Whole, j: Whole, start: Whole) -> bool:
    return unit(cell_hash(_rod_hash(key, FINE, family, i, j), start, 37, 6)) < levels[FINE, BRIDGE]


@kernel
def stretch_name(
    key: Whole, levels: np.ndarray, frames: np.ndarray, family: Whole, i: Whole, j: Whole, start: Whole, end: np.ndarray
) -> Whole:
    """Id of the neurite that the stretch from node ``start`` on belongs to.

    Where the stretch is a branch, ``end`` (4,) is the place and radius that its first node is joined to; else end[3] is -1.
    A branch off a fine rod is allowed only where that rod is no such branch itself, so the search is one step deep.
    """
    found = _joined_dendrite(key, levels, frames, family, i, j, start, end)
    if found != np.uint64(0):
        return found
    own = name_of(FINE, family, i, j, start)
    end[3] = -1.0
    if not _would_bridge(key, levels, family, i, j, start):
        return own
    # The nearest node of the next family: family + 1 runs along our "across" axis, half a pitch off on our "over" axis.
    other = (family + 1) % 3
    dice = scramble(_rod_hash(key, FINE, family, i, j) + np.uint64(start))
    other_i = j + np.int64(draw(dice, 1) * 2.0)
    other_j = start - np.int64(draw(dice, 2) * 2.0)
    other_t = i
    if not (
        fine_linked(key, levels, frames, other, other_i, other_j, other_t)
        or fine_linked(key, levels, frames, other, other_i, other_j, other_t - 1)
    ):
        return own
    first = _fine_start(key, levels, frames, other, other_i, other_j, other_t)
    trunk = _joined_dendrite(key, levels, frames, other, other_i, other_j, first, end)
    if trunk == np.uint64(0):
        if _would_bridge(key, levels, other, other_i, other_j, first):
            end[3] = -1.0
            return own
        trunk = name_of(FINE, other, other_i, other_j, first)
    node(key, levels, frames, FINE, other, other_i, other_j, other_t, end)
    return trunk


@kernel
def _outside(capsule: np.ndarray, low: np.ndarray, high: np.ndarray, reach: Real) -> bool:
    for axis in range(3):
        a, b = capsule[axis], capsule[axis + 3]
        if max(a, b) + reach < low[axis] or min(a, b) - reach > high[axis]:
            return True
    return False


@kernel
def gather(
    key: Whole, levels: np.ndarray, frames: np.ndarray, low: np.ndarray, high: np.ndarray, reach: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """All capsules within ``reach`` (nm a level) of the box from ``low`` to ``high`` (zyx nm).

    Returns capsules (n, CAPSULE_COLUMNS) float64 and the ids of their neurites (n,) uint64.
    """
    capsules = np.empty((256, CAPSULE_COLUMNS))
    names = np.empty(256, np.uint64)
    count = 0
    one = np.empty(CAPSULE_COLUMNS)
    corner, q, end = np.empty(3), np.empty(3), np.empty(4)
    first, last = np.empty(3), np.empty(3)
    for level in range(2):
        margin = reach[level]
        first[:] = np.inf
        last[:] = -np.inf
        for bits in range(8):
            for axis in range(3):
                corner[axis] = high[axis] + margin if (bits >> axis) & 1 else low[axis] - margin
            to_lattice(levels, frames, level, corner, q)
            for axis in range(3):
                first[axis] = min(first[axis], q[axis])
                last[axis] = max(last[axis], q[axis])
        for family in range(3):
            g, h = (family + 1) % 3, (family + 2) % 3
            for i in range(np.int64(np.floor(first[g])), np.int64(np.ceil(last[g])) + 1):
                for j in range(np.int64(np.floor(first[h] - 0.5)), np.int64(np.ceil(last[h] - 0.5)) + 1):
                    known = False
                    name = np.uint64(0)
                    joint = np.int64(0)
                    for t in range(np.int64(np.floor(first[family])) - 1, np.int64(np.ceil(last[family])) + 2):
                        _fill_capsule(key, levels, frames, level, family, i, j, t, one)
                        if _outside(one, low, high, margin):
                            known = False
                            continue
                        if level == COARSE:
                            linked = _coarse_linked(key, levels, family, i, j, t)
                        else:
                            linked = fine_linked(key, levels, frames, family, i, j, t)
                        if not linked:
                            known = False
                            continue
                        if count + 2 > len(names):
                            capsules = np.concatenate((capsules, np.empty_like(capsules)))
                            names = np.concatenate((names, np.empty_like(names)))
                        if not known:
                            if level == COARSE:
                                start = _coarse_start(key, levels, family, i, j, t)
                                name = name_of(COARSE, family, i, j, start)
                                end[3] = -1.0
                            else:
                                start = _fine_start(key, levels, frames, family, i, j, t)
                                name = stretch_name(key, levels, frames, family, i, j, start, end)
                            known = True
                            joint = start
                        capsules[count] = one
                        names[count] = name
                        count += 1
                        if t == joint and end[3] >= 0.0:
                            capsules[count] = one
                            capsules[count, BZ], capsules[count, BY], capsules[count, BX] = end[0], end[1], end[2]
                            capsules[count, RB] = min(one[RA], end[3])
                            capsules[count, DICE] = 1.0
                            names[count] = name
                            count += 1
    return capsules[:count], names[:count]
