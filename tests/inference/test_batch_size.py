"""The batch for a GPU: how it is looked for, and that it stays what it was."""

from __future__ import annotations

import json

import pytest

from axonloom.bad_input import BadInputError
from axonloom.inference.batch_size import best_batch, kept_batch
from axonloom.inference.predictor import OutOfMemoryError

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
    # Without a GPU, what the first one was found to take.
    assert kept_batch(tmp_path, {**KEY, "gpu": ""}, None) == 8
    assert kept_batch(tmp_path, {**KEY, "network": "def"}, None) is None
    assert len(json.loads((tmp_path / "batch-sizes.json").read_text())) == 3


def test_of_two_runs_that_try_at_once_the_first_to_write_counts(tmp_path):
    def meanwhile() -> int:
        kept_batch(tmp_path, KEY, lambda: 4)
        return 16

    assert kept_batch(tmp_path, KEY, meanwhile) == 4
    assert kept_batch(tmp_path, KEY, None) == 4


@pytest.mark.parametrize("content", ["[{", '[{"batch": 3}]', "[3]"])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "batch-sizes.json").write_text(content)
    with pytest.raises(BadInputError, match=r"batch-sizes\.json is damaged: delete it"):
        kept_batch(tmp_path, KEY, lambda: 8)
