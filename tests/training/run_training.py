"""A training in a process of its own, to be killed: python -m tests.training.run_training FOLDER."""

from __future__ import annotations

import sys

from axonloom.config.train import TrainSettings
from axonloom.networks.presets import PRESETS, Preset
from axonloom.training.labelled_volume import LabelledVolume
from axonloom.training.loop import TrainingState, train
from tests.training.cells import ArrayVolume, cells

# Like "small", with what a test needs of it: batch statistics, a skip, convolutions across sections.
PRESETS["tiny"] = Preset(
    architecture="residual_unet_3d",
    parameters={**PRESETS["small"].parameters, "filters": [8, 16], "isotropy": [True, True]},
    patch=(12, 12, 12),
    window=(16, 16, 16),
    isotropic=True,
)


def settings(**changes: object) -> TrainSettings:
    """A few seconds of training, with everything on that has a state."""
    values = {
        "preset": "tiny",
        "iterations": 40,
        "batch": 2,
        "warmup": 5,
        "checkpoint_every": 6,
        "validation": {"every": 9, "crops": 2},
        "threads": 1,
        "erosion": 1,
        "seed": 4,
    }
    return TrainSettings.model_validate({**values, **changes})


def volumes(broken: bool = False) -> list[LabelledVolume]:
    image, labels = cells((32, 32, 48), size=8)
    stored = image.astype("float32")
    if broken:
        stored[16, 16, 16] = float("nan")
    return [LabelledVolume(ArrayVolume(stored, "image.h5:raw"), ArrayVolume(labels, "image.h5:ids"))]


def report(state: TrainingState) -> None:
    print(state.iteration, flush=True)


if __name__ == "__main__":
    train(settings(), volumes(), sys.argv[1], on_progress=report)
