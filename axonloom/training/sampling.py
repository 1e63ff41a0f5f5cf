"""Training samples from labelled volumes: where they are cut, how they are changed, and what the network should say.

A sample is a function of the seed and of its number alone. Neither the number of loading threads, nor an interruption,
nor what was drawn before can change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from threading import Lock
from typing import cast

import numpy as np
import numpy.typing as npt

from axonloom.config.augment import AugmentSettings
from axonloom.geometry import Box, Zyx
from axonloom.networks.normalisation import Normalisation
from axonloom.representations.representation import Representation
from axonloom.training.augmentation import random_turn, vary_intensity
from axonloom.training.copy_paste import copy_paste
from axonloom.training.defects import add_defects
from axonloom.training.errors import TrainingError
from axonloom.training.labelled_volume import LabelledVolume, has_labels, is_isotropic
from axonloom.training.mixing import mixed
from axonloom.training.warp import Warp, random_warp
from axonloom.turn import Turn
from axonloom.volumes.volume import Volume

TRAINING, VALIDATION = 0, 1  # streams of random numbers
DRAWS = 50  # of a place for one sample, before the best of them is taken


@dataclass(frozen=True)
class Crop:
    """Where a sample comes from: the number of the volume, the box read from it, and how it is turned and warped afterwards."""

    volume: int
    box: Box
    turn: Turn = field(default_factory=Turn)
    warp: Warp | None = None

    def image(self, array: np.ndarray) -> npt.NDArray[np.float32]:
        """What was read (c, z, y, x) as a float32 patch."""
        turned = self.turn.apply(array)
        return (
            self.warp.apply(turned.astype(np.float32))
            if self.warp is not None
            else np.ascontiguousarray(turned, np.float32)
        )

    def labels(self, array: np.ndarray) -> np.ndarray:
        """What was read (z, y, x) as a patch."""
        turned = self.turn.apply(array)
        return self.warp.apply_labels(turned) if self.warp is not None else np.ascontiguousarray(turned)


@dataclass(frozen=True)
class Sample:
    """What the network sees, and should say.

    Attributes
    ----------
    index : int
    crop : Crop
    image : float32 (channels, z, y, x), normalised
    target, weight : float32 (n, z, y, x), as the representation gives them
    share : float
        How much its own target counts; the rest is that of ``other``.
    other : Sample or None
        What is mixed into the image.
    """

    index: int
    crop: Crop
    image: npt.NDArray[np.float32]
    target: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    share: float = 1.0
    other: Sample | None = None


class Sampler:
    """Samples of labelled volumes, by number.

    Parameters
    ----------
    volumes : sequence of LabelledVolume
    representation : Representation
        Makes targets of labels, and says how many voxels around a patch that takes.
    patch : (z, y, x)
        Voxels that a sample shows.
    normalisation : Normalisation
    augment : AugmentSettings
    seed : int
    least_labelled, least_valid : float
        Places where a smaller share of the patch is labelled, or valid, are drawn again, up to 50 times.
    cache : int
        Bytes of volumes that may be kept in memory whole.

    Raises
    ------
    TrainingError
        Shapes of image and labels differ, no voxel is labelled, or the patch does not fit.
    """

    def __init__(
        self,
        volumes: Sequence[LabelledVolume],
        representation: Representation,
        patch: Zyx,
        *,
        normalisation: Normalisation | None = None,
        augment: AugmentSettings | None = None,
        seed: int = 0,
        least_labelled: float = 0.0,
        least_valid: float = 0.5,
        cache: int = 0,
    ) -> None:
        if not volumes:
            raise TrainingError("there is nothing to train on: give at least one image with labels")
        self.volumes = tuple(volumes)
        self.representation = representation
        self.patch = patch
        self.normalisation = normalisation or Normalisation()
        self.augment = augment or AugmentSettings()
        self.seed = seed
        self.least_labelled = least_labelled
        self.least_valid = least_valid
        self.low, self.high = representation.margin
        self.read_shape = cast(Zyx, tuple(p + a + b for p, a, b in zip(patch, self.low, self.high, strict=True)))
        self._check()
        places = [self._places(volume) for volume in self.volumes]
        share = np.array([v.weight * n for v, n in zip(self.volumes, places, strict=True)], dtype=np.float64)
        if share.sum() <= 0:
            raise TrainingError("all volumes have weight 0, or are for validation alone: nothing would be drawn")
        self._share = np.cumsum(share / share.sum())
        self._last = int(np.flatnonzero(share)[-1])  # the sum may be a rounding below 1
        self._readers = []
        for volume in self.volumes:
            files = (volume.image, volume.labels, *([volume.valid] if volume.valid is not None else []))
            size = sum(v.nbytes for v in files) * volume.box.voxels // max(volume.image.box.voxels, 1)
            cached = size <= cache
            cache -= size if cached else 0
            self._readers.append(tuple(_Reader(v, volume.box if cached else None) for v in files))

    def sample(self, index: int) -> Sample:
        """Training sample ``index`` (>= 0)."""
        random = _random(self.seed, TRAINING, index)
        return mixed(self._changed(index, random), lambda: self._changed(index, random), random, self.augment.mix_up)

    def _changed(self, index: int, random: np.random.Generator) -> Sample:
        """A place drawn, and what is there changed as the settings say."""
        crop, drawn = self._draw(random)
        image, labels = self.normalisation.apply(crop.image(self._image(crop))), crop.labels(drawn)
        read = self._valid(crop)
        valid = None if read is None else crop.labels(read)
        image, labels, valid = copy_paste(image, labels, valid, random, self.augment.copy_paste)
        image = add_defects(vary_intensity(image, random, self.augment), random, self.augment)
        return self._finished(index, crop, image, labels, valid)

    def validation_sample(self, index: int) -> Sample:
        """Sample ``index`` of those held out, unturned and unchanged; smaller than a patch where the held-out box is."""
        kept = [i for i, volume in enumerate(self.volumes) if volume.held_out is not None]
        if not kept:
            raise TrainingError("no part of the data is held out to validate on")
        number = kept[index % len(kept)]
        held_out = cast(Box, self.volumes[number].held_out)
        shape = tuple(min(n, s) for n, s in zip(held_out.shape, self.read_shape, strict=True))
        random = _random(self.seed, VALIDATION, index)
        crop = Crop(number, _random_box(random, held_out, cast(Zyx, shape)))
        image = self.normalisation.apply(self._image(crop))
        return self._finished(index, crop, image, self._labels(crop), self._valid(crop))

    def _draw(self, random: np.random.Generator) -> tuple[Crop, np.ndarray]:
        """A place that is labelled enough, or the best of those tried, and its labels."""
        best: tuple[Crop, np.ndarray] | None = None
        most = -1.0
        for _ in range(DRAWS):
            number = min(int(np.searchsorted(self._share, random.random(), side="right")), self._last)
            volume = self.volumes[number]
            turn = random_turn(random, self.augment, is_isotropic(volume.image.voxel_size))
            warp = random_warp(random, self.augment, self.read_shape)
            # What needs more room than there is may fit unwarped, and a patch longer than wide only unturned.
            crop = self._cut(random, number, turn, warp)
            if volume.held_out is not None and crop.box.clipped(volume.held_out).voxels:
                continue
            labels = self._labels(crop)
            labelled = np.count_nonzero(labels) / labels.size
            valid = self._valid(crop)
            share = 1.0 if valid is None else np.count_nonzero(valid) / valid.size
            if labelled * share > most:
                best, most = (crop, labels), labelled * share
            if labelled >= self.least_labelled and share >= self.least_valid:
                break
        if best is None:
            raise TrainingError(
                f"patches of {self.patch} voxels (zyx) hardly fit beside the part held out for validation; "
                f"use a smaller patch or validation.region"
            )
        return best

    def _cut(self, random: np.random.Generator, number: int, turn: Turn, warp: Warp | None) -> Crop:
        """A place for a patch; one that needs more room than there is goes unwarped, one longer than wide perhaps unturned."""
        free = self.volumes[number].free
        for t, w in ((turn, warp), (turn, None), (Turn(flips=turn.flips), None)):
            shape = t.source_shape(self.read_shape if w is None else w.source_shape)
            if all(n <= size for n, size in zip(shape, free.shape, strict=True)):
                return Crop(number, _random_box(random, free, shape), t, w)
        return Crop(number, _random_box(random, free, self.read_shape), Turn(flips=turn.flips))

    def _finished(
        self, index: int, crop: Crop, image: np.ndarray, labels: np.ndarray, valid: np.ndarray | None
    ) -> Sample:
        target, weight = self.representation.targets(np.ascontiguousarray(labels), valid)
        inner = tuple(slice(a, n - b) for a, n, b in zip(self.low, labels.shape, self.high, strict=True))
        image, target, weight = (
            np.ascontiguousarray(array[(slice(None), *inner)]) for array in (image, target, weight)
        )
        return Sample(index, crop, image, target, weight)

    def _image(self, crop: Crop) -> np.ndarray:
        image = self._readers[crop.volume][0].read(crop.box)
        return image if image.ndim == 4 else image[None]

    def _labels(self, crop: Crop) -> np.ndarray:
        labels = self._readers[crop.volume][1].read(crop.box)
        return np.maximum(labels, 0) if labels.dtype.kind == "i" else labels

    def _valid(self, crop: Crop) -> np.ndarray | None:
        readers = self._readers[crop.volume]
        return readers[2].read(crop.box) != 0 if len(readers) > 2 else None

    def _check(self) -> None:
        channels = {volume.image.channels or 1 for volume in self.volumes}
        if len(channels) > 1:
            raise TrainingError(f"the images have different numbers of channels: {sorted(channels)}")
        for volume in self.volumes:
            image, labels = volume.image, volume.labels
            volume.require_fit()
            for part in (volume.box, volume.held_out or volume.box):
                if part.voxels == 0 or not image.box.contains(part):
                    raise TrainingError(
                        f"{image.uri} holds {image.box} (zyx voxels); the part {part} is empty or reaches outside"
                    )
            if self._places(volume) == 0 and not volume.only_validates:
                fits = tuple(n - a - b for n, a, b in zip(volume.free.shape, self.low, self.high, strict=True))
                raise TrainingError(
                    f"a patch of {self.patch} voxels (zyx), with the {self.low} and {self.high} voxels that its targets "
                    f"need below and above, does not fit in {volume.free} of {image.uri}; the largest patch there is {fits}"
                )
            if volume.held_out is not None and any(
                n <= a + b for n, a, b in zip(volume.held_out.shape, self.low, self.high, strict=True)
            ):
                raise TrainingError(
                    f"the part held out for validation, {volume.held_out}, is too thin to judge anything"
                )
            judged = volume.box if volume.only_validates else volume.free
            if not has_labels(labels, judged):
                raise TrainingError(f"{labels.uri} has no labelled voxel in {judged}: all are 0")

    def _places(self, volume: LabelledVolume) -> int:
        """How many boxes of a sample's size the training part of a volume holds."""
        return prod(max(n - s + 1, 0) for n, s in zip(volume.free.shape, self.read_shape, strict=True))


class _Reader:
    """Boxes of a volume, from memory where a ``cached`` part of it was asked for: read at first use."""

    def __init__(self, volume: Volume, cached: Box | None) -> None:
        self._volume = volume
        self._box = cached
        self._array: np.ndarray | None = None
        self._first = Lock()  # loading threads would each read it whole

    def read(self, box: Box) -> np.ndarray:
        if self._box is None or not self._box.contains(box):
            return self._volume.read(box)
        with self._first:
            if self._array is None:
                self._array = self._volume.read(self._box)
        return self._array[(..., *box.slices_in(self._box))]


def _random(seed: int, stream: int, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(stream, index))))


def _random_box(random: np.random.Generator, within: Box, shape: Zyx) -> Box:
    start = [o + int(random.integers(n - s + 1)) for o, n, s in zip(within.origin, within.shape, shape, strict=True)]
    return Box(start=start, size=shape)
