"""Sections through what a chain made: image, affinities and segmentation as pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from axonloom.assembly.segmentation_layer import SegmentationLayer
from axonloom.chain import Chain
from axonloom.geometry import Box, Zyx
from axonloom.pictures import affinity_rgb, colour_labels, overlay, slice_image
from axonloom.stages.inputs import open_configured, open_volume_input
from axonloom.volumes import Volume

#: Voxels of a section, at most, along each of its axes.
LARGEST = 384


@dataclass(frozen=True)
class Section:
    """A box that is one voxel deep.

    Attributes
    ----------
    box : Box
    across : the axis (0 z, 1 y, 2 x) along which it is one voxel deep
    """

    box: Box
    across: int

    @classmethod
    def middle(cls, shape: Zyx, across: int = 0) -> Section:
        """Of a volume: its middle, at most :data:`LARGEST` voxels wide and high."""
        size = [1 if axis == across else min(n, LARGEST) for axis, n in enumerate(shape)]
        return cls(Box(start=[(n - s + 1) // 2 for n, s in zip(shape, size, strict=True)], size=size), across)

    def flat(self, array: np.ndarray) -> np.ndarray:
        """What was read of the box, (z, y, x) or (c, z, y, x), without the axis that it is one voxel deep along."""
        return array.squeeze(self.across + array.ndim - 3)


def evidence_pictures(chain: Chain, section: Section) -> tuple[list[np.ndarray], list[str]]:
    """Pictures (RGB) with their titles: the image, where it has the shape of what is segmented, and affinities."""
    pictures, titles = [], []
    image = image_of(chain)
    if image is not None:
        pictures.append(slice_image(section.flat(image.read(section.box))))
        titles.append("image")
    affinities = open_volume_input(chain.fragment.inputs["affinities"], chain.workspace)
    pictures.append(affinity_rgb(section.flat(affinities.read(section.box)[:3])))
    titles.append("affinities")
    return pictures, titles


def segmentation_pictures(chain: Chain, section: Section) -> tuple[list[np.ndarray], list[str]]:
    """Pictures (RGB) with their titles: image, affinities, segmentation (over the image where there is one)."""
    pictures, titles = evidence_pictures(chain, section)
    labels = section.flat(SegmentationLayer.at(chain.layer).volume().read(section.box))
    image = image_of(chain)
    shown = colour_labels(labels) if image is None else overlay(section.flat(image.read(section.box)), labels)
    return [*pictures, shown], [*titles, "segmentation"]


def image_of(chain: Chain) -> Volume | None:
    """The images, when they are of the shape of what is segmented."""
    settings = chain.configuration.volumes.image
    if settings is None:
        return None
    image = open_configured(settings)
    return image if image.shape == chain.fragment.grid.region.shape and image.channels is None else None


def in_proportion(picture: np.ndarray, voxel_size: tuple[float, float, float] | None, across: int) -> np.ndarray:
    """A picture (rows, columns, 3) with rows or columns repeated, so that both stand for one length to the nearest whole factor."""
    if voxel_size is None:
        return picture
    row, column = (size for axis, size in enumerate(voxel_size) if axis != across)
    return np.repeat(np.repeat(picture, max(1, round(row / column)), axis=0), max(1, round(column / row)), axis=1)
