"""Sample slices of what a job made, as artifacts."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import numpy as np
from prefect import get_run_logger

from axonloom.chain import Chain
from axonloom.pictures import affinity_rgb, colour_labels, panels, slice_image
from axonloom.report.sections import Section, evidence_pictures, segmentation_pictures
from axonloom.stage import StagePlan
from axonloom.stages.infer import planned_checkpoint
from axonloom.stages.inputs import open_volume_input, stage_input
from axonloom.volumes import VolumeError
from tasks.artifacts import embedded, show_markdown

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


@_unless_unreadable
def show_prediction(chain: Chain) -> None:
    """Image and what the network says of it side by side, whatever its channels mean."""
    plan = chain.infer
    box = Section.middle(plan.grid.region.shape).box
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
    section = Section.middle(chain.fragment.grid.region.shape)
    pictures, titles = evidence_pictures(chain, section)
    fragments = open_volume_input(stage_input(chain.fragment), chain.workspace)
    _show(
        chain.fragment,
        [*pictures, colour_labels(section.flat(fragments.read(section.box)))],
        [*titles, "fragments (as in blocks)"],
    )


@_unless_unreadable
def show_segmentation(chain: Chain) -> None:
    """Image, affinities and segmentation side by side."""
    _show(chain.apply, *segmentation_pictures(chain, Section.middle(chain.fragment.grid.region.shape)))


def _show(plan: StagePlan, pictures: list[np.ndarray], titles: list[str]) -> None:
    show_markdown(plan, "sample", f"# {plan.stage}\n\n" + embedded(panels(pictures, titles), "Middle section"))
