"""The batch for a GPU: how it is looked for, and that it stays what it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from axonloom.bad_input import BadInputError
from axonloom.config.infer import InferSettings
from axonloom.config.model import ModelSettings
from axonloom.inference import pace
from axonloom.inference.batch_size import FOLDER, batch_for_gpu, best_batch, kept_batch, tried_batch
from axonloom.inference.predictor import OutOfMemoryError, PredictionError, settings_that_matter
from axonloom.networks.checkpoint import Checkpoint
from axonloom.networks.foreign import open_checkpoint
from tests.flows.block_files import small_checkpoint

KEY = {"gpu": "one", "network": "abc", "window": [64, 64, 64]}


def seconds(table: dict[int, float], tried: list[int]):
    def one(batch: int) -> float:
        tried.append(batch)
        if batch not in table:
            raise OutOfMemoryError("no room")
        return table[batch]

    return one


@pytest.mark.parametrize(
    ("table", "expected", "all_tried"),
    [
        ({1: 1.0}, 1, [1, 2]),
        ({1: 1.0, 2: 0.6, 4: 0.4}, 4, [1, 2, 4, 8]),
        ({1: 1.0, 2: 0.6, 4: 0.59, 8: 0.1}, 2, [1, 2, 4]),
        ({1: 1.0, 2: 1.2}, 1, [1, 2]),
        ({n: 1 / n for n in (1, 2, 4, 8, 16, 32, 64, 128)}, 64, [1, 2, 4, 8, 16, 32, 64]),
    ],
)
def test_the_batch_that_gives_the_most_windows(table, expected, all_tried):
    tried: list[int] = []
    assert best_batch(seconds(table, tried)) == expected
    assert tried == all_tried


def test_no_room_for_one_window_is_said():
    with pytest.raises(OutOfMemoryError):
        best_batch(seconds({}, []))


def test_what_was_found_stays(tmp_path):
    assert kept_batch(tmp_path, KEY, None) is None
    assert not list(tmp_path.iterdir())
    assert kept_batch(tmp_path, KEY, lambda: 8) == 8
    assert kept_batch(tmp_path, KEY, lambda: 16) == 8
    assert kept_batch(tmp_path, {**KEY, "gpu": "another"}, lambda: 16) == 16
    assert kept_batch(tmp_path, {**KEY, "window": [32, 32, 32]}, lambda: 4) == 4
    # Without a GPU, what one was found to take.
    assert kept_batch(tmp_path, {**KEY, "gpu": None}, None) in (8, 16)
    assert kept_batch(tmp_path, {**KEY, "gpu": None, "window": [32, 32, 32]}, None) == 4
    assert kept_batch(tmp_path, {**KEY, "network": "def"}, None) is None
    assert len(list((tmp_path / FOLDER).iterdir())) == 3


def test_of_two_runs_that_try_at_once_the_first_to_write_counts(tmp_path):
    def meanwhile() -> int:
        kept_batch(tmp_path, KEY, lambda: 4)
        return 16

    assert kept_batch(tmp_path, KEY, meanwhile) == 4
    assert kept_batch(tmp_path, KEY, None) == 4


@pytest.mark.parametrize("content", ["[{", '[{"batch": 3}]', "[3]", '{"key": {}, "batch": "many"}'])
def test_a_damaged_file_is_named(tmp_path, content):
    kept_batch(tmp_path, KEY, lambda: 8)
    (file,) = (tmp_path / FOLDER).iterdir()
    file.write_text(content)
    with pytest.raises(BadInputError, match=r"batch-sizes/\w+\.json is damaged: delete it"):
        kept_batch(tmp_path, KEY, lambda: 8)


def test_a_batch_that_blocks_hardly_fill_is_not_taken(tmp_path, monkeypatch):
    """Faster a window, but most places stay empty."""
    times = iter(np.cumsum([0, 1.0, 0, 0.5, 0, 0.25] + [0, 0.125] * 20))
    monkeypatch.setattr(pace.time, "perf_counter", lambda: next(times))
    checkpoint = Checkpoint.open(small_checkpoint(tmp_path))
    parameters = settings_that_matter(InferSettings(device="cpu", window=(8, 16, 16)), checkpoint)
    # Four windows take 1 s one by one, 0.5 s in pairs, 0.25 s at once, and eight 0.125 s.
    found = tried_batch(checkpoint, parameters, lambda batch: 1.0 if batch <= 4 else 1e-3, room=1 << 20)
    assert found == 4


def test_a_program_for_one_window_at_a_time_gets_one(tmp_path):
    class Network(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(1, 1, 8, 8, 8).repeat(1, 3, 1, 1, 1)

    torch.jit.script(Network()).save(str(tmp_path / "net.pt"))
    settings = InferSettings(device="cpu", model=ModelSettings(window=(8, 8, 8)))
    checkpoint = open_checkpoint(tmp_path / "net.pt", settings.model)
    assert tried_batch(checkpoint, settings_that_matter(settings, checkpoint), lambda batch: 1.0, room=0) == 1


def test_without_a_gpu_to_try_on_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    checkpoint = Checkpoint.open(small_checkpoint(tmp_path))
    parameters = {**settings_that_matter(InferSettings(device="cpu"), checkpoint), "device": "cuda"}
    with pytest.raises(PredictionError, match=r"set infer\.batch, such as 4"):
        batch_for_gpu(tmp_path, checkpoint, parameters, filled=lambda batch: 1.0, room=0)
