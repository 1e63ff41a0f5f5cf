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

from axonloom.geometry import Zyx
from axonloom.losses.cross_entropy import binary_cross_entropy
from axonloom.losses.dice import dice_loss
from axonloom.representations.balance import class_balance
from axonloom.representations.erosion import eroded
from axonloom.representations.representation import RepresentationError
from axonloom.turn import Seen, Turn

NEAREST: tuple[Zyx, ...] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))

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


class AffinityTarget:
    """Affinities to the neighbours at ``offsets``, without anything about losses.

    Parameters
    ----------
    offsets : sequence of (z, y, x)
        Voxels, not negative. The default, one voxel along each axis, is what :mod:`axonloom.segmentation` reads.
    ignore_zero : bool
        Pairs with a voxel of label 0 are not known, instead of apart.
    border : {'unknown', 'replicate', 'edge'}
        What the first planes say, whose partner lies outside: nothing, or as :func:`affinities` has it (PyTorch Connectomics).
    """

    classes = False
    activation = "sigmoid"

    def __init__(
        self,
        offsets: Sequence[Sequence[int]] = NEAREST,
        ignore_zero: bool = False,
        border: Literal["unknown", "replicate", "edge"] = "unknown",
    ) -> None:
        self.offsets: tuple[Zyx, ...] = tuple(cast(Zyx, tuple(int(n) for n in offset)) for offset in offsets)
        for offset in self.offsets:
            if len(offset) != 3 or min(offset) < 0 or max(offset) == 0:
                raise RepresentationError(
                    f"an affinity's offset is three voxel counts >= 0, not all 0: {offset} is not"
                )
        if not self.offsets:
            raise RepresentationError("affinities need at least one offset")
        if border not in ("unknown", "replicate", "edge"):
            raise RepresentationError(f"border is unknown, replicate or edge, not {border!r}")
        self.ignore_zero = ignore_zero
        self.border = border

    @property
    def channels(self) -> tuple[str, ...]:
        if self.offsets == NEAREST:
            return ("z", "y", "x")
        return tuple("-".join(str(n) for n in offset) for offset in self.offsets)

    @property
    def margin(self) -> tuple[Zyx, Zyx]:
        if self.border != "unknown":
            return (0, 0, 0), (0, 0, 0)
        return cast(Zyx, tuple(max(offset[axis] for offset in self.offsets) for axis in range(3))), (0, 0, 0)

    def target(
        self, labels: np.ndarray, valid: np.ndarray | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Affinities, and where they are known, of labels as they are: float32 and bool (channels, z, y, x)."""
        target = affinities(labels, self.offsets, "edge" if self.border == "edge" else "replicate")
        return target.astype(np.float32), self.known(labels, valid)

    def known(self, labels: np.ndarray, valid: np.ndarray | None = None) -> npt.NDArray[np.bool_]:
        """Where the pairs of labels (z, y, x) say something: bool (channels, z, y, x); both have to be ``valid``."""
        known = np.ones((len(self.offsets), *labels.shape), bool)
        for channel, offset in zip(known, self.offsets, strict=True):
            for axis, n in enumerate(offset):
                if self.border == "unknown":
                    channel[(slice(None),) * axis + (slice(0, n),)] = False
            high = tuple(slice(n, None) for n in offset)
            low = tuple(slice(0, max(size - n, 0)) for size, n in zip(labels.shape, offset, strict=True))
            if self.ignore_zero:
                channel[high] &= (labels[high] > 0) & (labels[low] > 0)
            if valid is not None:
                channel &= valid
                channel[high] &= valid[low]
        return known

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
            "ignore_zero": self.ignore_zero,
            "border": self.border,
        }


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
        self._kind = AffinityTarget(offsets, ignore_zero)
        self.offsets = self._kind.offsets
        if erosion < 0 or dice < 0:
            raise RepresentationError(f"erosion and dice are not negative, but {erosion} and {dice} were given")
        self.erosion = erosion
        self.erosion_across_sections = erosion_across_sections
        self.ignore_zero = ignore_zero
        self.dice = dice

    @property
    def channels(self) -> tuple[str, ...]:
        return self._kind.channels

    @property
    def margin(self) -> tuple[Zyx, Zyx]:
        depth = self.erosion if self.erosion_across_sections else 0
        reach: Zyx = (depth, self.erosion, self.erosion)
        low, _ = self._kind.margin
        return cast(Zyx, tuple(r + n for r, n in zip(reach, low, strict=True))), reach

    def targets(
        self, labels: np.ndarray, valid: np.ndarray | None = None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Affinities and their class-balancing weights, float32 (channels, z, y, x).

        A channel's first planes have no partner inside the array: they get weight 0.
        """
        drawn_back = eroded(labels, self.erosion, across_sections=self.erosion_across_sections)
        target, _ = self._kind.target(drawn_back)
        return target, class_balance(target > 0, self._kind.known(labels, valid))

    def loss(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Weighted binary cross entropy (mean over all voxels) plus ``dice`` times the Dice loss over known voxels."""
        total = binary_cross_entropy(logits, target, weight)
        if self.dice:
            total = total + self.dice * dice_loss(torch.sigmoid(logits), target, weight)
        return total

    def activation(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)

    def seen(self, turn: Turn) -> tuple[Seen | None, ...]:
        return self._kind.seen(turn)

    def parameters(self) -> dict[str, Any]:
        return {
            "offsets": [list(offset) for offset in self.offsets],
            "erosion": self.erosion,
            "erosion_across_sections": self.erosion_across_sections,
            "ignore_zero": self.ignore_zero,
            "dice": self.dice,
        }
