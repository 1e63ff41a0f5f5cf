"""How much each voxel of a target counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from axonloom.representations.euclidean import euclidean_distance

RAREST, MOST_COMMON = 0.05, 0.95  # bounds of the fraction that class balancing sees, as in PyTorch Connectomics
BORDER_SIGMA = 5.0  # voxels


def class_balance(
    target: np.ndarray, known: np.ndarray, *, dilation: int = 0, voxels: int | None = None
) -> npt.NDArray[np.float32]:
    """Weights that make the rarer of 0 and 1 count as much as the other, and 0 where a target is not known.

    Parameters
    ----------
    target, known : bool, same shape (c, z, y, x)
    dilation : int
        Voxels along y and x by which the ones are grown before weights are given out (the fraction is that of the ones themselves).
    voxels : int or None
        What the ones of all channels are divided by, instead of what is known in all of them: PyTorch Connectomics divides by the voxels
        of its mask, those of one channel, so that the fraction of three channels sticks at its upper bound.

    Returns
    -------
    numpy.ndarray
        float32: 1 for the common class, at most 19 for the rare one. All 1 where only one class occurs.

    Notes
    -----
    PyTorch Connectomics' weight options ``1`` and (with a dilation of 1) ``1-1``, except that unknown voxels count neither above nor
    below the fraction line.
    """
    weight = known.astype(np.float32)
    count = int(np.count_nonzero(known))
    ones = int(np.count_nonzero(target & known))
    if 0 < ones < count:
        fraction = min(max(ones / (count if voxels is None else max(voxels, 1)), RAREST), MOST_COMMON)
        marked = target
        if dilation:
            width = 2 * dilation + 1
            marked = np.asarray(
                ndimage.maximum_filter(target, (*(1,) * (target.ndim - 2), width, width), mode="constant"), bool
            )
        rare = marked if fraction < 0.5 else ~marked
        weight[rare & known] = max(fraction, 1 - fraction) / min(fraction, 1 - fraction)
    return weight


def border_weights(labels: np.ndarray, between: float = 10.0, inside: float = 5.0) -> npt.NDArray[np.float32]:
    """Weights that grow where two objects of a section come close: float32 (z, y, x).

    Parameters
    ----------
    labels : (z, y, x) integers
    between : float
        Background gets ``between`` exp(-(d1 + d2)^2 / 2 sigma^2), with its distances to the two nearest objects, and at least 1.
    inside : float
        Of voxels of objects.

    Notes
    -----
    Ronneberger et al. 2015, "U-Net", in the form of PyTorch Connectomics' weight option ``2``; sigma is 5 voxels.
    """
    result = np.where(labels > 0, np.float32(inside), np.float32(1))
    for section, into in zip(labels, result, strict=True):
        ids = np.unique(section[section > 0])
        if len(ids) < 2:
            continue
        nearest, second = np.full(section.shape, np.inf), np.full(section.shape, np.inf)
        for number in ids:
            distance = euclidean_distance(section != number)
            second = np.minimum(second, np.maximum(nearest, distance))
            nearest = np.minimum(nearest, distance)
        close = between * np.exp(-((nearest + second) ** 2) / (2 * BORDER_SIGMA**2))
        background = section == 0
        into[background] = np.maximum(1, close[background])
    return result
