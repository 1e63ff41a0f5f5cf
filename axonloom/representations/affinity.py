"""Affinities: for each voxel and each offset, whether the voxel and the one that far below it are the same object.

Turaga et al. 2010 (https://doi.org/10.1162/neco.2009.10-08-881); channel order, place (the destination voxel) and loss
are those of PyTorch Connectomics' target option '2'.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from axonloom.geometry import Zyx
from axonloom.representations.erosion import eroded
from axonloom.representations.representation import RepresentationError
from axonloom.turn import Seen, Turn

NEAREST: tuple[Zyx, ...] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
DICE_SMOOTHING = 100.0  # voxels; PyTorch Connectomics' DiceLoss
RAREST, MOST_COMMON = 0.05, 0.95  # bounds of the fraction that class balancing sees, as in PyTorch Connectomics

Border = Literal["replicate", "edge"]


def affinities(
    labels: np.ndarray, offsets: Sequence[Zyx] = NEAREST, border: Border = "replicate"
) -> npt.NDArray[np.bool_]:
    """Whether each voxel v and the voxel v - offset carry the same positive label.

    Parameters
    ----------
    labels : (z, y, x) integers
    offsets : sequence of (z, y, x)
        Voxels, not negative; one channel each.
    border : {'replicate', 'edge'}
        What stands where v - offset lies outside: ``replicate`` takes the voxel itself (affinity 1 inside objects),
        ``edge`` the nearest voxel inside the array (PyTorch Connectomics' long-range 'v1'). Equal for offsets of 1.

    Returns
    -------
    numpy.ndarray
        bool (len(offsets), z, y, x).
    """
    positive = labels > 0
    result = np.empty((len(offsets), *labels.shape), dtype=bool)
    for channel, offset in zip(result, offsets, strict=True):
        if border == "edge":
            sources = [np.maximum(np.arange(n) - o, 0) for n, o in zip(labels.shape, offset, strict=True)]
            np.equal(labels, labels[np.ix_(*sources)], out=channel)
        else:
            channel[:] = True
            high = tuple(slice(o, None) for o in offset)
            low = tuple(slice(0, max(n - o, 0)) for n, o in zip(labels.shape, offset, strict=True))
            np.equal(labels[high], labels[low], out=channel[high])
        channel &= positive
    return result


def class_balance(target: np.ndarray, known: np.ndarray) -> npt.NDArray[np.float32]:
    """Weights that make the rarer of 0 and 1 count as much as the other, and 0 where a target is not known.

    Parameters
    ----------
    target, known : bool, same shape

    Returns
    -------
    numpy.ndarray
        float32: 1 for the common class, at most 19 for the rare one. All 1 where only one class occurs.

    Notes
    -----
    PyTorch Connectomics' weight option '1', except that unknown voxels count neither above nor below the fraction line.
    """
    weight = known.astype(np.float32)
    count = int(np.count_nonzero(known))
    ones = int(np.count_nonzero(target & known))
    if 0 < ones < count:
        fraction = min(max(ones / count, RAREST), MOST_COMMON)
        rare = target if fraction < 0.5 else ~target
        weight[rare & known] = max(fraction, 1 - fraction) / min(fraction, 1 - fraction)
    return weight


class Affinity:
    """Affinities to the neighbours at ``offsets``.

    Parameters
    ----------
    offsets : sequence of (z, y, x)
        Voxels, not negative. The default, one voxel along each axis, is what :mod:`axonloom.segmentation` reads.
    erosion : int
        Voxels by which labels are drawn back from each other first; see :func:`axonloom.representations.erosion.eroded`.
    erosion_across_sections : bool
        Draw back along z too.
    ignore_zero : bool
        Give no weight to pairs with a voxel of label 0, instead of teaching that they are apart.
    dice : float
        Weight of the Dice loss beside the cross entropy; 0 leaves it out.
    """

    name = "affinity"

    def __init__(
        self,
        offsets: Sequence[Sequence[int]] = NEAREST,
        erosion: int = 0,
        erosion_across_sections: bool = False,
        ignore_zero: bool = False,
        dice: float = 0.5,
    ) -> None:
        self.offsets: tuple[Zyx, ...] = tuple(cast(Zyx, tuple(int(n) for n in offset)) for offset in offsets)
        for offset in self.offsets:
            if len(offset) != 3 or min(offset) < 0 or max(offset) == 0:
                raise RepresentationError(
                    f"an affinity's offset is three voxel counts >= 0, not all 0: {offset} is not"
                )
        if not self.offsets:
            raise RepresentationError("affinities need at least one offset")
        if erosion < 0 or dice < 0:
            raise RepresentationError(f"erosion and dice are not negative, but {erosion} and {dice} were given")
        self.erosion = erosion
        self.erosion_across_sections = erosion_across_sections
        self.ignore_zero = ignore_zero
        self.dice = dice

    @property
    def channels(self) -> tuple[str, ...]:
        if self.offsets == NEAREST:
            return ("z", "y", "x")
        return tuple("-".join(str(n) for n in offset) for offset in self.offsets)

    @property
    def margin(self) -> tuple[Zyx, Zyx]:
        depth = self.erosion if self.erosion_across_sections else 0
        reach: Zyx = (depth, self.erosion, self.erosion)
        farthest = [max(offset[axis] for offset in self.offsets) for axis in range(3)]
        return cast(Zyx, tuple(r + f for r, f in zip(reach, farthest, strict=True))), reach

    def targets(self, labels: np.ndarray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Affinities and their class-balancing weights, float32 (channels, z, y, x).

        A channel's first planes have no partner inside the array: they get weight 0.
        """
        drawn_back = eroded(labels, self.erosion, across_sections=self.erosion_across_sections)
        target = affinities(drawn_back, self.offsets)
        known = np.ones_like(target)
        for channel, offset in zip(known, self.offsets, strict=True):
            for axis, n in enumerate(offset):
                channel[(slice(None),) * axis + (slice(0, n),)] = False
            if self.ignore_zero:
                high = tuple(slice(n, None) for n in offset)
                low = tuple(slice(0, max(size - n, 0)) for size, n in zip(labels.shape, offset, strict=True))
                channel[high] &= (labels[high] > 0) & (labels[low] > 0)
        return target.astype(np.float32), class_balance(target, known)

    def loss(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Weighted binary cross entropy (mean over all voxels) plus ``dice`` times the Dice loss over known voxels."""
        total = functional.binary_cross_entropy_with_logits(logits, target, weight)
        if self.dice:
            total = total + self.dice * dice_loss(torch.sigmoid(logits), target, weight > 0)
        return total

    def activation(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)

    def seen(self, turn: Turn) -> tuple[Seen | None, ...]:
        """An affinity belongs to an ordered pair of voxels. In the turned image the pair lies along other axes, so it stands in
        another channel; where that runs against the offset, it stands at the pair's other end. A pair that lies along no channel's
        offset is not seen.
        """
        return tuple(self._seen(offset, turn) for offset in self.offsets)

    def _seen(self, offset: Zyx, turn: Turn) -> Seen | None:
        turned = [-offset[a] if flip else offset[a] for a, flip in zip(turn.order, turn.flips, strict=True)]
        for sign, shift in ((1, (0, 0, 0)), (-1, offset)):
            there = cast(Zyx, tuple(sign * n for n in turned))
            if there in self.offsets:
                return Seen(self.offsets.index(there), shift)
        return None

    def parameters(self) -> dict[str, Any]:
        return {
            "offsets": [list(offset) for offset in self.offsets],
            "erosion": self.erosion,
            "erosion_across_sections": self.erosion_across_sections,
            "ignore_zero": self.ignore_zero,
            "dice": self.dice,
        }


def dice_loss(prediction: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """1 - (2 p.t + s) / (p.p' + t.t' + s), with sums over all channels and voxels of a sample, averaged over samples.

    The form of PyTorch Connectomics' ``DiceLoss`` (Milletari et al. 2016 with plain sums below the line and s = 100),
    except that only ``known`` voxels count.
    """
    mask = known.to(prediction.dtype)
    p = (prediction * mask).flatten(1)
    t = (target * mask).flatten(1)
    overlap = (p * t).sum(1)
    return (1 - (2 * overlap + DICE_SMOOTHING) / (p.sum(1) + t.sum(1) + DICE_SMOOTHING)).mean()
