"""Objects of a sample once more, turned, where there is background (Ghiasi et al. 2021, "Simple copy-paste").

PyTorch Connectomics pastes what the image shows and leaves the labels as they were, so that what is pasted is called background. Here
labels follow, before targets are computed: pasted objects are objects of their own.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from axonloom.config.augment import CopyPasteSettings

ANGLES = range(0, 360, 30)
COARSE = 4  # voxels along y and x of which one is looked at when places are compared

Image = npt.NDArray[np.float32]


def copy_paste(
    image: Image,
    labels: np.ndarray,
    valid: np.ndarray | None,
    random: np.random.Generator,
    settings: CopyPasteSettings,
) -> tuple[Image, np.ndarray, np.ndarray | None]:
    """A sample with its objects once more in its background, if chance and the settings have it so.

    All objects are turned together by a multiple of 30 degrees inside sections, perhaps mirrored along z: of these ways one that covers
    least of what is there already. What still comes within ``settings.gap`` voxels of an object that is there is not pasted.

    Parameters
    ----------
    image : float32 (c, z, y, x)
    labels : (z, y, x) integers, not negative
        A pasted object has a number that the sample does not have, odd where it was odd.
    valid : bool (z, y, x) or None
        Where labels are right; what is pasted is as right as what it was copied from.
    random : numpy.random.Generator
        Not drawn from where ``settings.share`` is 0.

    Returns
    -------
    (image, labels, valid)
        Those given where nothing was pasted; else new arrays.
    """
    if settings.share == 0 or random.random() >= settings.share:
        return image, labels, valid
    there = labels > 0
    if not there.any() or there.mean() > settings.largest:
        return image, labels, valid
    angle, mirrored = _place(there, random)
    pasted = _turned(labels, angle, mirrored, order=0)
    kept_free = there
    if settings.gap:
        around = np.ones((3, 3, 3), bool)
        kept_free = np.asarray(ndimage.binary_dilation(there, around, iterations=settings.gap), bool)
    onto = (pasted > 0) & ~kept_free
    if valid is not None:
        was_valid = _turned(valid, angle, mirrored, order=0)
        onto &= was_valid
        valid = valid | onto
    if not onto.any():
        return image, labels, valid
    image = image.copy()
    for channel in image:
        channel[onto] = _turned(channel, angle, mirrored, order=1)[onto]
    ids = pasted[onto]
    if settings.new_ids:
        labels = labels.astype(_with_room(labels.dtype))
        ids = _unused(ids, labels)
    else:
        labels = labels.copy()
    labels[onto] = ids
    return image, labels, valid


def _place(there: np.ndarray, random: np.random.Generator) -> tuple[int, bool]:
    """Angle in degrees and whether to mirror: one of those that cover least of what is there."""
    coarse = there[:, ::COARSE, ::COARSE]
    ways = [way for way in product(ANGLES, (False, True)) if way != (0, False)]
    covered = [np.count_nonzero(_turned(coarse, *way, order=0) & coarse) for way in ways]
    best = np.flatnonzero(np.array(covered) == min(covered))
    return ways[int(random.choice(best))]


def _turned(array: np.ndarray, angle: int, mirrored: bool, order: int) -> np.ndarray:
    """``array`` (z, y, x) turned about its middle by ``angle`` degrees inside sections; 0 where it comes from outside."""
    if mirrored:
        array = array[::-1]
    if angle == 0:
        return array.copy()
    if order == 0:
        # Ids beyond 2^53 do not pass through float64: their places are turned, not they.
        places = np.arange(1, array[0].size + 1, dtype=np.float64).reshape(array.shape[1:])
        source = ndimage.rotate(places, angle, reshape=False, order=0).astype(np.int64)
        flat = array.reshape(len(array), -1)
        return np.where(source > 0, flat[:, np.maximum(source - 1, 0)], 0).astype(array.dtype)
    return ndimage.rotate(array, angle, axes=(1, 2), reshape=False, order=order, mode="nearest")


def _with_room(dtype: np.dtype) -> np.dtype:
    """A type that also holds small numbers that a sample does not use."""
    return np.promote_types(dtype, np.uint32)


def _unused(ids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """For each object of ``ids`` the smallest number that ``labels`` does not have; odd stays odd, since parity may mean something."""
    names, index = np.unique(ids, return_inverse=True)
    used = set(np.unique(labels).tolist())
    found = []
    following = {0: 2, 1: 1}
    for name in names.tolist():
        number = following[name % 2]
        while number in used:
            number += 2
        following[name % 2] = number + 2
        found.append(number)
    return np.array(found, labels.dtype)[index]
