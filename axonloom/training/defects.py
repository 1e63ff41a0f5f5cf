"""What microscopes and sections do to images: folds, motion, lost focus, noise. Labels stay as they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from axonloom.config.augment import (
    AugmentSettings,
    CutBlurSettings,
    CutNoiseSettings,
    MissingPartsSettings,
    MotionBlurSettings,
)

Image = npt.NDArray[np.float32]


def add_defects(image: Image, random: np.random.Generator, settings: AugmentSettings) -> Image:
    """A float32 image (c, z, y, x), most of it in -1..1, with those defects that chance and the settings give it; changed in place."""
    for chosen, add in (
        (settings.missing_parts, _missing_parts),
        (settings.motion_blur, _motion_blur),
        (settings.cut_blur, _cut_blur),
        (settings.cut_noise, _cut_noise),
    ):
        if chosen.share > 0 and random.random() < chosen.share:
            add(image, random, chosen)  # pyright: ignore[reportArgumentType]
    return image


def _missing_parts(image: Image, random: np.random.Generator, settings: MissingPartsSettings) -> None:
    """Bands between two sides of a section take its mean; never in two sections in a row."""
    _, depth, height, width = image.shape
    y, x = np.ogrid[:height, :width]
    before = False
    for z in range(depth):
        before = not before and random.random() < settings.sections
        if not before:
            continue
        # A straight line through a point of the section, in any direction.
        v, u, angle = random.uniform(0, height), random.uniform(0, width), random.uniform(0, np.pi)
        distance = np.abs((y - v) * np.cos(angle) - (x - u) * np.sin(angle))
        band = distance < random.uniform(1, max(settings.width, 1)) / 2
        for channel in image:
            channel[z][band] = channel[z].mean()


def _motion_blur(image: Image, random: np.random.Generator, settings: MotionBlurSettings) -> None:
    depth = image.shape[1]
    axis = 1 + int(random.integers(2))  # of (c, y, x)
    for z in random.choice(depth, size=min(settings.sections, depth), replace=False):
        image[:, z] = ndimage.uniform_filter1d(image[:, z], settings.length, axis=axis, mode="nearest")


def _cut_blur(image: Image, random: np.random.Generator, settings: CutBlurSettings) -> None:
    part = image[(slice(None), *_part(random, image.shape[1:], settings.size))]
    factor = random.uniform(settings.low, settings.high)
    steps = [
        n if axis == 0 and not settings.across_sections else max(1, round(n / factor))
        for axis, n in enumerate(part.shape[1:])
    ]
    for channel in part:
        coarse = ndimage.zoom(
            channel, [m / n for m, n in zip(steps, channel.shape, strict=True)], order=1, grid_mode=True, mode="nearest"
        )
        fine = [n / m for n, m in zip(channel.shape, coarse.shape, strict=True)]
        channel[:] = ndimage.zoom(coarse, fine, order=1, grid_mode=True, mode="nearest")


def _cut_noise(image: Image, random: np.random.Generator, settings: CutNoiseSettings) -> None:
    part = image[(slice(None), *_part(random, image.shape[1:], settings.size))]
    part += random.uniform(-settings.strength, settings.strength, part.shape).astype(np.float32)
    np.clip(part, -1, 1, out=part)


def _part(random: np.random.Generator, shape: tuple[int, ...], size: float) -> tuple[slice, ...]:
    """A box of up to ``size`` times each axis."""
    found = []
    for n in shape:
        length = max(1, int(n * random.uniform(0, size)))
        start = int(random.integers(0, n - length + 1))
        found.append(slice(start, start + length))
    return tuple(found)
