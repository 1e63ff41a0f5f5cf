"""What a voxel looks like under the microscope: cytoplasm, membranes, organelles, noise.

All lengths are nm; grey levels are on the 0..255 scale, chosen to match FIB-SEM of the fly's medulla.
"""

from __future__ import annotations

import numpy as np

from axonloom.kernel import inlined, kernel
from axonloom.phantom.noise import Real, Whole, draw, fast_hash, scramble, smooth, unit, white
from axonloom.phantom.skeleton import AX, AY, AZ, BX, BY, BZ, COARSE, DICE, KIND, RA, RB

MITO_COLUMNS = 8

_COARSE_MITOS = 3
_VESICLES = 62.0


@kernel
def mitochondria_of(capsules: np.ndarray, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sausages along the axes of some capsules: (n, 8) two ends, radius and a number of its own; (n,) neurite ids."""
    found = np.empty((len(capsules) * _COARSE_MITOS, MITO_COLUMNS))
    names_found = np.empty(len(found), np.uint64)
    count = 0
    offset = np.empty(3)
    for n in range(len(capsules)):
        one = capsules[n]
        if one[DICE] >= 1.0:
            continue
        word = scramble(np.uint64(np.int64(one[DICE] * 9007199254740992.0)) + names[n])
        radius = 0.5 * (one[RA] + one[RB])
        tries = _COARSE_MITOS if one[KIND] == COARSE else 1
        for turn in range(tries):
            word = scramble(word + np.uint64(turn + 1))
            if one[KIND] == COARSE:
                if draw(word, 1) > 0.75:
                    continue
                size = min(0.70 * radius, 110.0 + 130.0 * draw(word, 2))
                slack = max(0.0, radius - size - 35.0)
                centre = (turn + 0.15 + 0.7 * draw(word, 3)) / _COARSE_MITOS
                half = 0.10 + 0.30 * draw(word, 4)
            else:
                if draw(word, 1) > 0.13:
                    continue
                size = 55.0 + 60.0 * draw(word, 2)
                slack = 15.0
                centre, half = 0.5, 0.45
            for end in range(2):
                s = centre + half * (2 * end - 1)
                for axis in range(3):
                    offset[axis] = slack * (draw(word, 5 + axis + 3 * end) - 0.5) * 1.4
                found[count, 3 * end] = one[AZ] + s * (one[BZ] - one[AZ]) + offset[0]
                found[count, 3 * end + 1] = one[AY] + s * (one[BY] - one[AY]) + offset[1]
                found[count, 3 * end + 2] = one[AX] + s * (one[BX] - one[AX]) + offset[2]
            found[count, 6] = size
            found[count, 7] = draw(word, 12)
            names_found[count] = names[n]
            count += 1
    return found[:count], names_found[:count]


@kernel
def mitochondrion_distance(mito: np.ndarray, z: Real, y: Real, x: Real) -> Real:
    """Signed distance (nm, negative inside) to a sausage."""
    dz, dy, dx = mito[3] - mito[0], mito[4] - mito[1], mito[5] - mito[2]
    pz, py, px = z - mito[0], y - mito[1], x - mito[2]
    length = dz * dz + dy * dy + dx * dx + 1e-9
    s = min(1.0, max(0.0, (pz * dz + py * dy + px * dx) / length))
    pz -= s * dz
    py -= s * dy
    px -= s * dx
    return np.sqrt(pz * pz + py * py + px * px) - mito[6]


@inlined
def _bump(distance: Real, width: Real) -> Real:
    q = distance / width
    return np.exp(-0.5 * q * q)


@kernel
def _vesicle(key: Whole, z: Real, y: Real, x: Real, blur: Real) -> Real:
    """Darkness (0..1) of the ring of the vesicle in this cell, if it has one. Rows and layers of cells are staggered."""
    cz = np.floor(z / _VESICLES)
    y += _VESICLES * unit(fast_hash(key, np.int64(cz), 1, 1))
    cy = np.floor(y / _VESICLES)
    x += _VESICLES * unit(fast_hash(key, np.int64(cz), np.int64(cy), 2))
    cx = np.floor(x / _VESICLES)
    word = fast_hash(key, np.int64(cz), np.int64(cy), np.int64(cx))
    if draw(word, 1) > 0.7:
        return 0.0
    z -= _VESICLES * (cz + 0.40 + 0.20 * draw(word, 2))
    y -= _VESICLES * (cy + 0.40 + 0.20 * draw(word, 3))
    x -= _VESICLES * (cx + 0.40 + 0.20 * draw(word, 4))
    return _bump(np.sqrt(z * z + y * y + x * x) - 12.0, 0.5 * blur + 3.0)


@kernel
def grey(
    key: Whole,
    name: Whole,
    thick: bool,
    real: np.ndarray,
    along: Real,
    side: Real,
    up: Real,
    membrane: Real,
    mito: Real,
    mito_dice: Real,
    blur: Real,
) -> Real:
    """Grey level before noise.

    ``real``: zyx nm in the image; ``along``, ``side``, ``up``: nm in the neurite's own frame; ``membrane``: distance to the
    middle of the membrane; ``mito``: signed distance to the nearest mitochondrion of this neurite; ``blur``: nm.
    """
    word = scramble(name + key)
    tint = draw(word, 1)
    value = 190.0 - 68.0 * tint
    if thick:
        value += 6.0
    # Turned, so that the lattices of the noises do not show as stripes along the image's axes.
    z = 0.48 * real[0] + 0.60 * real[1] + 0.64 * real[2]
    y = 0.64 * real[0] - 0.77 * real[1] + 0.24 * real[2]
    x = 0.60 * real[0] + 0.22 * real[1] - 0.73 * real[2]
    value += 16.0 * smooth(key + np.uint64(1), along / 240.0, side / 42.0, up / 42.0)
    value += 21.0 * smooth(key + np.uint64(2), z / 38.0, y / 38.0, x / 38.0)
    slow = smooth(key + np.uint64(3), z / 190.0, y / 190.0, x / 190.0)
    value += 13.0 * slow
    cluster = smooth(key + np.uint64(4), z / 900.0, y / 900.0, x / 900.0)
    if cluster > 0.15 and draw(word, 2) < 0.6:
        value -= 30.0 * min(1.0, 5.0 * (cluster - 0.15)) * _vesicle(key, z, y, x, blur)
    if thick:
        # Endoplasmic reticulum: the sheets where a smooth field is zero.
        sheet = smooth(key + np.uint64(5), along / 700.0, side / 190.0, up / 190.0)
        if slow > -0.2:
            value -= 26.0 * _bump(sheet * 190.0 * 0.5, 0.6 * blur + 6.0) * min(1.0, 4.0 * (slow + 0.2))

    if mito < 40.0:
        edge = 0.8 * blur + 3.0
        inside = 1.0 / (1.0 + np.exp(min(40.0, max(-40.0, mito / (0.5 * edge)))))
        fold = smooth(key + np.uint64(6), along / 60.0 + 7.0 * mito_dice, side / 26.0, up / 70.0)
        body = 74.0 + 14.0 * mito_dice + 12.0 * fold
        value = value + inside * (body - value)
        value -= 14.0 * _bump(mito, edge)

    width = np.sqrt(25.0 + 0.72 * blur * blur)
    dark = _bump(membrane - 7.0, width) + _bump(membrane + 7.0, width)
    strength = 0.64 + 0.25 * cluster + 0.30 * slow
    # Proteins and tangled filaments line the membrane and blur it.
    dark += (0.12 + 0.08 * slow) * _bump(membrane, 30.0)
    active = smooth(key + np.uint64(7), z / 230.0, y / 230.0, x / 230.0)
    if active > 0.52:
        dark += 6.0 * (active - 0.52) * _bump(max(0.0, membrane - 12.0), 18.0)
    cover = 1.0 - np.exp(-1.5 * strength * dark)
    return value + cover * (84.0 - value)


@kernel
def grain(key: Whole, z: Whole, y: Whole, x: Whole) -> Real:
    """Noise of the detector at a voxel, variance 1, a little smeared along x as a beam scans."""
    return 0.86 * white(key, z, y, x) + 0.5 * white(key, z, y, x - 1)


@kernel
def section_look(key: Whole, z: Whole) -> tuple[Real, Real]:
    """Contrast and brightness of one section, each about normal with variance 1."""
    word = fast_hash(key, z, 3, 8)
    a = draw(word, 1) + draw(word, 2) + draw(word, 3) - 1.5
    b = draw(word, 4) + draw(word, 5) + draw(word, 6) - 1.5
    return 2.0 * a, 2.0 * b


@kernel
def section_shift(key: Whole, z: Whole) -> tuple[Real, Real]:
    """Misplacement of one section in y and x, each in (-1, 1)."""
    word = fast_hash(key, z, 5, 2)
    return 2.0 * unit(scramble(word + np.uint64(1))) - 1.0, 2.0 * unit(scramble(word + np.uint64(2))) - 1.0
