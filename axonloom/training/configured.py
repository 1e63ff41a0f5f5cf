"""The volumes that a configuration trains on."""

from __future__ import annotations

from axonloom.config.configuration import Configuration
from axonloom.config.load import ConfigurationError
from axonloom.config.training_volumes import LabelledVolumeSettings, TrainingVolumeSettings
from axonloom.geometry import Box
from axonloom.stages.inputs import open_configured, open_image
from axonloom.training.labelled_volume import LabelledVolume
from axonloom.volumes.tiles import as_labels


def labelled_volumes(configuration: Configuration) -> list[TrainingVolumeSettings]:
    """``volumes.image`` and ``volumes.labels`` where they are set, and what ``train.volumes`` adds.

    Raises
    ------
    ConfigurationError
        There are none.
    """
    volumes, train = configuration.volumes, configuration.train
    if train.volumes and (volumes.image is None or volumes.labels is None):
        return list(train.volumes)
    for name in ("image", "labels"):
        if getattr(volumes, name) is None:
            raise ConfigurationError(
                f"volumes.{name} is not set: training needs images and labels (or set train.volumes)"
            )
    assert volumes.image is not None
    assert volumes.labels is not None
    return [TrainingVolumeSettings(image=volumes.image, labels=volumes.labels, valid=train.valid), *train.volumes]


def all_volumes(configuration: Configuration) -> list[LabelledVolumeSettings]:
    """:func:`labelled_volumes`, and those that are validated on alone."""
    return [*labelled_volumes(configuration), *configuration.train.validation.volumes]


def open_labelled_volumes(configuration: Configuration) -> list[LabelledVolume]:
    """:func:`all_volumes`, opened; no voxel is read. Those that are validated on alone come last, and are held out whole.

    Raises
    ------
    VolumeError
        One cannot be opened.
    TrainingError
        An image and its labels do not cover the same voxels.
    """
    opened = [
        LabelledVolume(
            open_image(given.image),
            as_labels(open_configured(given.labels)),
            weight=given.weight,
            held_out=Box(start=given.held_out.start, end=given.held_out.stop) if given.held_out is not None else None,
            valid=as_labels(open_configured(given.valid)) if given.valid is not None else None,
        )
        for given in labelled_volumes(configuration)
    ]
    for given in configuration.train.validation.volumes:
        image = open_image(given.image)
        valid = open_configured(given.valid) if given.valid is not None else None
        opened.append(LabelledVolume(image, open_configured(given.labels), held_out=image.box, valid=valid))
    for volume in opened:
        volume.require_fit()
    return opened
