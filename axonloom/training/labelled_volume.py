"""An image with labels, as training takes it, and the part of it that is kept for validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd, prod
from typing import Any

import numpy as np

from axonloom.geometry import Box, Zyx
from axonloom.networks.normalisation import Normalisation
from axonloom.training.errors import TrainingError
from axonloom.volumes.volume import Volume


@dataclass(frozen=True)
class LabelledVolume:
    """An image and the labels of its voxels.

    Attributes
    ----------
    image : Volume
        Grey levels, (z, y, x) or (c, z, y, x).
    labels : Volume
        Integers of the same zyx shape: an object's number, or 0 for none.
    weight : float
        How often a voxel of this volume is shown, relative to a voxel of the others.
    region : Box or None
        Use this part only.
    held_out : Box or None
        Keep this part for validation; it may also lie outside ``region``. All of the volume: it is never trained on.
    valid : Volume or None
        Nonzero where the labels are right; None: everywhere.
    """

    image: Volume
    labels: Volume
    weight: float = 1.0
    region: Box | None = None
    held_out: Box | None = None
    valid: Volume | None = None

    @property
    def box(self) -> Box:
        return self.region or self.image.box

    @property
    def only_validates(self) -> bool:
        """Whether nothing of it is left to train on."""
        return self.held_out is not None and self.held_out.contains(self.box)

    @property
    def free(self) -> Box:
        """The part to train on: without the held-out one where that is a slab at an end."""
        box = self.box
        kept = None if self.held_out is None else self.held_out.clipped(box)
        if kept is None or kept.voxels == 0:
            return box
        for axis in range(3):
            others = [i for i in range(3) if i != axis]
            if any(kept.origin[i] > box.origin[i] or kept.stop[i] < box.stop[i] for i in others):
                continue
            start, end = list(box.origin), list(box.stop)
            if kept.stop[axis] >= box.stop[axis]:
                end[axis] = kept.origin[axis]
            elif kept.origin[axis] <= box.origin[axis]:
                start[axis] = kept.stop[axis]
            return Box(start=start, end=[max(a, b) for a, b in zip(start, end, strict=True)])
        return box

    def require_fit(self) -> None:
        """Raise TrainingError unless image and labels cover the same voxels, and the labels are ids; reads no voxel."""
        image, labels = self.image, self.labels
        if image.shape != labels.shape:
            raise TrainingError(
                f"{labels.uri} has {labels.shape} voxels (zyx) but its image {image.uri} has {image.shape}; "
                "labels and image must cover the same voxels"
            )
        if self.valid is not None and (self.valid.shape != labels.shape or self.valid.channels is not None):
            raise TrainingError(
                f"{self.valid.uri} has {self.valid.shape} voxels (zyx) but the labels {labels.uri} have {labels.shape}; it says of each "
                "of them whether it is right"
            )
        if labels.channels is not None or labels.dtype.kind not in "ui":
            raise TrainingError(f"{labels.uri} does not hold labels: it must be one channel of integers")

    def identity(self) -> dict[str, Any]:
        """What, changed, would give other samples; as plain JSON."""
        boxes = [None if b is None else [*b.origin, *b.stop] for b in (self.region, self.held_out)]
        return {
            "image": self.image.identity(),
            "labels": self.labels.identity(),
            "shape": list(self.image.shape),
            "weight": self.weight,
            "region": boxes[0],
            "held_out": boxes[1],
            **({"valid": self.valid.identity()} if self.valid is not None else {}),
        }

    def source(self) -> dict[str, Any]:
        """Where it lies and which part of it is used, for people; as plain JSON."""
        boxes = {"region": self.region, "held_out": self.held_out}
        return {
            "image": self.image.uri,
            "labels": self.labels.uri,
            "shape": list(self.image.shape),
            **({"valid": self.valid.uri} if self.valid is not None else {}),
            **{name: {"start": list(b.origin), "stop": list(b.stop)} for name, b in boxes.items() if b is not None},
            **({"weight": self.weight} if self.weight != 1 else {}),
        }


def hold_out(volume: LabelledVolume, fraction: float, patch: Zyx) -> LabelledVolume:
    """The volume with the high end of its longest axis kept for validation.

    ``fraction`` of that axis, and more where a patch would not fit, up to a quarter of the axis.
    """
    box = volume.box
    axis = int(np.argmax(box.shape))
    size = box.shape[axis]
    depth = max(round(fraction * size), min(patch[axis], size // 4), 1)
    start = list(box.origin)
    start[axis] = box.stop[axis] - depth
    return replace(volume, held_out=Box(start=start, end=box.stop))


def is_isotropic(voxel_size: Sequence[float] | None) -> bool:
    """Whether voxels are known to be about as deep as wide (within a quarter)."""
    return voxel_size is not None and max(voxel_size) <= 1.25 * min(voxel_size)


def measured_normalisation(volumes: Sequence[LabelledVolume]) -> Normalisation:
    """The mean grey level, and twice the standard deviation, of the first volume's middle (at most 128 voxels an axis).

    For images whose dtype does not say which grey levels occur; uint8 has the fixed default.
    """
    volume = volumes[0]
    if all(each.image.dtype == np.uint8 for each in volumes):
        return Normalisation()
    start = [o + max(n - 128, 0) // 2 for o, n in zip(volume.box.origin, volume.box.shape, strict=True)]
    grey = volume.image.read(Box(start=start, size=(128, 128, 128)).clipped(volume.box)).astype(np.float64)
    grey = grey[np.isfinite(grey)]  # broken voxels are reported by training itself, with their place
    if grey.size == 0 or grey.std() == 0:
        return Normalisation(mean=float(grey[0]) if grey.size else 0.0, std=1.0)
    return Normalisation(mean=float(grey.mean()), std=2 * float(grey.std()))


def has_labels(labels: Volume, box: Box, part: Zyx = (64, 256, 256)) -> bool:
    """Whether a box holds a label above 0; reads parts of it, far from each other, until one is found."""
    grid = tuple(-(-n // p) for n, p in zip(box.shape, part, strict=True))
    count = prod(grid)
    # Steps of about the golden ratio leave no large region for last; without a common divisor they come everywhere once.
    step = next(n for n in range(max(round(0.618 * count), 1), 2 * count + 1) if gcd(n, count) == 1)
    for k in range(count):
        place = np.unravel_index(k * step % count, grid)
        start = [o + int(i) * p for o, i, p in zip(box.origin, place, part, strict=True)]
        if (labels.read(Box(start=start, size=part).clipped(box)) > 0).any():
            return True
    return False
