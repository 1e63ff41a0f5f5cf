"""Changes to a training sample that do not change what is right about it.

Geometric changes act on image and labels before targets are computed: an affinity belongs to an ordered pair of voxels,
so an affinity map that is flipped itself would be off by one voxel, and one that is transposed would have its channels
in the wrong order.
"""

from __future__ import annotations

from itertools import permutations
from typing import cast

import numpy as np
import numpy.typing as npt

from axonloom.config.augment import AugmentSettings
from axonloom.geometry import Zyx
from axonloom.turn import Turn

ORDERS: dict[str, list[Zyx]] = {
    "none": [(0, 1, 2)],
    "xy": [(0, 1, 2), (0, 2, 1)],
    "all": cast(list[Zyx], list(permutations(range(3)))),
}


def random_turn(random: np.random.Generator, settings: AugmentSettings, isotropic: bool) -> Turn:
    """One of the turns that the settings allow, each as likely as any other."""
    kind = settings.transpose
    if kind == "auto":
        kind = "all" if isotropic else "xy"
    orders = ORDERS[kind]
    order = orders[int(random.integers(len(orders)))]
    flips = random.random(3) < 0.5
    if not settings.flip:
        flips[:] = False
    return Turn(order, cast(tuple[bool, bool, bool], tuple(bool(flip) for flip in flips)))


def vary_intensity(
    image: npt.NDArray[np.float32], random: np.random.Generator, settings: AugmentSettings
) -> npt.NDArray[np.float32]:
    """A float32 image with other contrast, brightness and gamma, more noise, and darkened sections.

    Parameters
    ----------
    image : float32 ((c), z, y, x)
        Normalised so that most grey levels lie in -1..1. Changed in place.
    """
    if random.random() < settings.intensity:
        contrast = 1 + settings.contrast * random.uniform(-1, 1)
        brightness = settings.brightness * random.uniform(-1, 1)
        middle = image.mean(dtype=np.float64)
        image *= np.float32(contrast)
        image += np.float32(brightness + middle * (1 - contrast))
        exponent = 2.0 ** (settings.gamma * random.uniform(-1, 1))
        np.clip(image, -1, 1, out=image)
        image += 1
        image *= np.float32(0.5)
        np.power(image, np.float32(exponent), out=image)
        image *= 2
        image -= 1
    if settings.noise > 0:
        strength = settings.noise * random.random()
        image += np.float32(strength) * random.standard_normal(image.shape, dtype=np.float32)
    if settings.dark_section > 0:
        for z in np.flatnonzero(random.random(image.shape[-3]) < settings.dark_section):
            remains = random.uniform(0, 0.5)  # 0: the section is missing
            image[..., z, :, :] = remains * (image[..., z, :, :] + 1) - 1
    return image
