"""What TensorBoard reads of a training, also of one that was killed."""

from __future__ import annotations

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from axonloom.training.errors import TrainingError
from axonloom.training.loop import train
from axonloom.training.tensorboard import FOLDER, TensorBoardLog, wanted
from tests.training.run_training import settings, volumes


def read(folder):
    events = EventAccumulator(str(folder / FOLDER), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def test_scalars_and_sections_of_every_iteration_once(tmp_path):
    train(settings(), volumes(), tmp_path, until=4)
    # Beyond the checkpoint that a later stretch goes on from: as a killed process leaves it.
    lost = TensorBoardLog(tmp_path / FOLDER, 4)
    lost.scalars(5, {"loss": 1000.0})
    lost.close()
    train(settings(), volumes(), tmp_path, until=6)
    events = read(tmp_path)
    losses = events.Scalars("loss")
    assert [each.step for each in losses] == [1, 2, 3, 4, 5, 6]
    assert all(each.value < 100 for each in losses)
    assert {"learning rate", "loss, running mean"} <= set(events.Tags()["scalars"])
    assert "image" in events.Tags()["images"]
    assert [each.step for each in events.Images("image")][-1] == 6


def test_not_where_it_is_switched_off(tmp_path):
    train(settings().model_copy(update={"tensorboard": False}), volumes(), tmp_path, until=1)
    assert not (tmp_path / FOLDER).exists()


def test_what_is_not_installed_is_said_where_it_was_asked_for(monkeypatch):
    monkeypatch.setattr("axonloom.training.tensorboard.find_spec", lambda name: None)
    assert wanted(None) is False
    assert wanted(False) is False
    with pytest.raises(TrainingError, match=r"pip install 'axonloom\[tensorboard\]'"):
        wanted(True)
