"""What the benchmark of training says of a loop that is known to wait."""

from __future__ import annotations

import time

import pytest

from axonloom.config.train import TrainSettings
from axonloom.training.labelled_volume import LabelledVolume
from axonloom.training.sampling import Sample, Sampler
from benchmarks.training import EVERY, PARTS, curve_seconds, measured
from tests.training.cells import ArrayVolume, cells

NETWORK = {"architecture": "residual_unet_3d", "parameters": {"filters": [8, 12], "isotropy": [True, True]}}
#: Seconds; far longer than the network takes for a patch, also where other work takes the processors.
SLEEP = 0.5


def settings(**changes: object) -> TrainSettings:
    given = {"network": NETWORK, "patch": [16, 32, 32], "device": "cpu", "threads": 1, "tensorboard": False}
    return TrainSettings.model_validate({**given, **changes})


def volumes() -> list[LabelledVolume]:
    image, labels = cells((40, 64, 64))
    return [LabelledVolume(ArrayVolume(image, "image"), ArrayVolume(labels, "labels"))]


@pytest.mark.slow
def test_waiting_for_samples_is_told(monkeypatch):
    plain = measured(settings(), volumes(), turns=2, turn=8)
    assert plain["turns"] == 2
    assert plain["bare_s"] > 0
    assert 0 < plain["ratio_to_bare_network"] < 1.5
    assert set(plain["parts_s"]) <= {*PARTS, "targets"}
    assert plain["parts_s"]["targets"] > 0
    assert plain["parts_s"]["places and reading"] > 0
    assert all(plain["now_and_then"][name]["s"] > 0 for name in EVERY)

    original = Sampler.sample

    def slow(sampler: Sampler, index: int) -> Sample:
        time.sleep(SLEEP)
        return original(sampler, index)

    monkeypatch.setattr(Sampler, "sample", slow)
    for loaders in (0, 1):
        starved = measured(settings(loaders=loaders), volumes(), turns=2, turn=8)
        # With a loader the network's own time passes meanwhile.
        assert SLEEP - loaders * starved["bare_s"] < starved["iteration_s"]
        assert starved["waiting_s"] > (1 - loaders) * SLEEP
        assert starved["ratio_to_bare_network"] < plain["ratio_to_bare_network"]
        # Sleeping takes no CPU seconds.
        assert starved["cpu"] > starved["ratio_to_bare_network"]


def test_a_longer_training_has_a_longer_curve():
    assert 0 < curve_seconds(10) < curve_seconds(20_000)
