"""Sample slices of what a job made, as artifacts."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import numpy as np
from prefect import get_run_logger

from axonloom.assembly.segmentation_layer import SegmentationLayer
from axonloom.chain import Chain
from axonloom.geometry import Box
from axonloom.pictures import affinity_rgb, colour_labels, overlay, panels, slice_image
from axonloom.stage import StagePlan
from axonloom.stages.infer import planned_checkpoint
from axonloom.stages.inputs import open_configured, open_volume_input, stage_input
from axonloom.volumes import Volume, VolumeError
from tasks.artifacts import embedded, show_markdown

#: Voxels of a slice, at most, along y and x.
LARGEST = 384
#: Channels that are shown side by side, at most, of a network that predicts something else than three affinities.
MOST_CHANNELS = 4


def _unless_unreadable(show: Callable[[Chain], None]) -> Callable[[Chain], None]:
    """A picture that cannot be made costs one warning: the stages that need these voxels say what is wrong, block by block."""

    @wraps(show)
    def shown(chain: Chain) -> None:
        try:
            show(chain)
        except VolumeError as error:
            get_run_logger().warning("no sample picture: %s", error)

    return shown


def middle_slice(shape: tuple[int, int, int]) -> Box:
    """The middle of a volume: one section, at most :data:`LARGEST` voxels wide."""
    z, y, x = shape
    h, w = min(y, LARGEST), min(x, LARGEST)
    return Box(start=(z // 2, (y - h) // 2, (x - w) // 2), size=(1, h, w))


@_unless_unreadable
def show_prediction(chain: Chain) -> None:
    """Image and what the network says of it side by side, whatever its channels mean."""
    plan = chain.infer
    box = middle_slice(plan.grid.region.shape)
    image = open_volume_input(plan.inputs["image"], plan.workspace).read(box)
    found = open_volume_input(stage_input(plan), plan.workspace)
    names = planned_checkpoint(plan).description.channels
    pictures, titles = [slice_image(image.reshape(-1, *image.shape[-2:])[0])], ["image"]
    if len(names) == 3:
        pictures.append(affinity_rgb(found.read(box)[:, 0]))
        titles.append(", ".join(names))
    else:
        shown = names[:MOST_CHANNELS]
        pictures += [slice_image(channel[0]) for channel in found.read(box, channels=range(len(shown)))]
        titles += shown
    _show(plan, pictures, titles)


@_unless_unreadable
def show_fragments(chain: Chain) -> None:
    """Image, affinities and fragments side by side."""
    box = middle_slice(chain.fragment.grid.region.shape)
    pictures, titles = _evidence(chain, box)
    fragments = open_volume_input(stage_input(chain.fragment), chain.workspace)
    _show(chain.fragment, [*pictures, colour_labels(fragments.read(box)[0])], [*titles, "fragments (as in blocks)"])


@_unless_unreadable
def show_segmentation(chain: Chain) -> None:
    """Image, affinities and segmentation side by side."""
    box = middle_slice(chain.fragment.grid.region.shape)
    _show(chain.apply, *segmentation_pictures(chain, box))


def segmentation_pictures(chain: Chain, box: Box) -> tuple[list[np.ndarray], list[str]]:
    """Pictures (RGB) of a section with their titles: image, affinities, segmentation."""
    pictures, titles = _evidence(chain, box)
    labels = SegmentationLayer.at(chain.layer).volume().read(box)[0]
    image = _image(chain)
    shown = colour_labels(labels) if image is None else overlay(image.read(box)[0], labels)
    return [*pictures, shown], [*titles, "segmentation"]


def _evidence(chain: Chain, box: Box) -> tuple[list[np.ndarray], list[str]]:
    pictures, titles = [], []
    image = _image(chain)
    if image is not None:
        pictures.append(slice_image(image.read(box)[0]))
        titles.append("image")
    affinities = open_volume_input(chain.fragment.inputs["affinities"], chain.workspace)
    pictures.append(affinity_rgb(affinities.read(box)[:3, 0]))
    titles.append("affinities")
    return pictures, titles


def _image(chain: Chain) -> Volume | None:
    """The images, when they are of the shape of what is segmented."""
    settings = chain.configuration.volumes.image
    if settings is None:
        return None
    image = open_configured(settings)
    return image if image.shape == chain.fragment.grid.region.shape and image.channels is None else None


def _show(plan: StagePlan, pictures: list[np.ndarray], titles: list[str]) -> None:
    show_markdown(plan, "sample", f"# {plan.stage}\n\n" + embedded(panels(pictures, titles), "Middle section"))
