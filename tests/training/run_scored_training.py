"""A training whose checkpoints are chosen by their segmentation, to be killed: python -m tests.training.run_scored_training FOLDER."""

from __future__ import annotations

import sys

from axonloom.config.train import TrainSettings
from axonloom.training.labelled_volume import LabelledVolume
from axonloom.training.loop import train
from tests.training.cells import ArrayVolume, cells
from tests.training.run_training import report, settings, volumes

SCORING = {"region": [20, 24, 24], "absorb": 10}


def scored_settings(**changes: object) -> TrainSettings:
    """A few seconds of training with a score every sixth iteration."""
    validation = {"every": 6, "crops": 2, "fraction": 0.0, "volumes": [NAMED]}
    values = {"best_by": "voi", "scoring": SCORING, "validation": validation, "checkpoint_every": 5, "iterations": 36}
    return settings(**{**values, **changes})


#: What a configuration would say of the volume that :func:`scored_volumes` adds.
NAMED = {"image": {"path": "judged.h5:raw"}, "labels": {"path": "judged.h5:ids"}}


def scored_volumes() -> list[LabelledVolume]:
    """Those of other trainings, and one that is held out whole."""
    image, labels = cells((24, 28, 26), seed=11, size=8)
    judged = ArrayVolume(image.astype("float32"), "judged.h5:raw")
    return [*volumes(), LabelledVolume(judged, ArrayVolume(labels, "judged.h5:ids"), held_out=judged.box)]


if __name__ == "__main__":
    train(scored_settings(), scored_volumes(), sys.argv[1], on_progress=report)
