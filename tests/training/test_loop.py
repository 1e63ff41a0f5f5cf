"""Training that is killed, stopped or split gives the same bytes; and what goes wrong is said."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from axonloom.networks.checkpoint import Checkpoint
from axonloom.networks.checkpoint_folder import checkpoint_paths
from axonloom.training.errors import TrainingError
from axonloom.training.labelled_volume import LabelledVolume
from axonloom.training.loop import TrainingState, train
from axonloom.training.loss_log import read_log
from tests.training.cells import ArrayVolume, cells
from tests.training.run_training import settings, volumes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    result = train(settings(), volumes(), folder)
    assert (result.status, result.iteration) == ("finished", 40)
    return folder


def losses(folder: Path) -> list[tuple]:
    return [
        (e["iteration"], e["loss"], e["learning_rate"], e.get("validation_loss"))
        for e in read_log(folder / "loss.jsonl")
    ]


def assert_equal_trainings(one: Path, other: Path) -> None:
    a, b = Checkpoint.open(one / "last"), Checkpoint.open(other / "last")
    assert a.weights_sha256 == b.weights_sha256
    assert a.description == b.description
    assert losses(one) == losses(other)
    assert (one / "best").resolve().name == (other / "best").resolve().name


def test_what_a_training_leaves(uninterrupted: Path) -> None:
    last = Checkpoint.open(uninterrupted / "last")
    assert last.iteration == 40
    assert last.description.channels == ("z", "y", "x")
    assert last.description.voxel_size == (10, 10, 10)
    assert last.description.settings == settings().model_dump(mode="json")
    log = read_log(uninterrupted / "loss.jsonl")
    assert [entry["iteration"] for entry in log] == list(range(1, 41))
    validated = {entry["iteration"]: entry["validation_loss"] for entry in log if "validation_loss" in entry}
    assert list(validated) == [9, 18, 27, 36, 40]
    best = Checkpoint.open(uninterrupted / "best")
    assert best.iteration == min(validated, key=lambda i: validated[i])
    assert best.description.validation_loss == min(validated.values())
    newest = {path.name for path in checkpoint_paths(uninterrupted)} - {best.folder.name}
    assert len(newest) <= 3
    with torch.no_grad():
        assert last.build_network()(torch.zeros(1, 1, 12, 12, 12)).shape == (1, 3, 12, 12, 12)


def test_killed_anywhere_and_continued_equals_uninterrupted(uninterrupted: Path, tmp_path: Path) -> None:
    """SIGKILL to a real process, at other iterations each time, until it gets through."""
    for kill_after in (2, 11, None):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.training.run_training", str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        assert process.stdout is not None
        for seen, line in enumerate(process.stdout, start=1):
            assert int(line) <= 40
            if seen == kill_after:
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait() == (0 if kill_after is None else -signal.SIGKILL)
        process.stdout.close()
    assert_equal_trainings(uninterrupted, tmp_path)


def test_stretches_and_other_loader_threads_change_nothing(uninterrupted: Path, tmp_path: Path) -> None:
    reached = []
    for until in (7, 7, 20, 33, 99):
        result = train(settings(loaders=until % 3), volumes(), tmp_path, until=until)
        reached.append((result.status, result.iteration))
        assert result.checkpoint.iteration == result.iteration
    assert reached == [("reached", 7), ("reached", 7), ("reached", 20), ("reached", 33), ("finished", 40)]
    a, b = (Checkpoint.open(folder / "last") for folder in (uninterrupted, tmp_path))
    assert a.weights_sha256 == b.weights_sha256
    assert losses(uninterrupted) == losses(tmp_path)


def test_a_damaged_newest_checkpoint_costs_iterations_not_the_result(uninterrupted: Path, tmp_path: Path) -> None:
    train(settings(), volumes(), tmp_path, until=20)
    weights = checkpoint_paths(tmp_path)[-1] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    states: list[TrainingState] = []
    result = train(settings(), volumes(), tmp_path, on_progress=states.append)
    assert 0 < states[0].iteration <= 20
    assert len(result.skipped) == 1
    assert "iteration_00000020" in result.skipped[0]
    assert_equal_trainings(uninterrupted, tmp_path)


def test_stopping_leaves_a_checkpoint(tmp_path: Path) -> None:
    states: list[TrainingState] = []
    result = train(settings(), volumes(), tmp_path, on_progress=states.append, should_stop=lambda: len(states) == 4)
    assert (result.status, result.iteration) == ("stopped", 5)
    assert Checkpoint.open(tmp_path / "last").iteration == 5
    assert states[-1].checkpoint == result.checkpoint.folder
    assert states[-1].iterations == 40
    assert states[-1].voxels_per_second > 0


def test_torch_is_left_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(7)
    threads, expected = torch.get_num_threads(), torch.rand(1)
    torch.manual_seed(7)
    train(settings(threads=1 if threads > 1 else 2), volumes(), tmp_path, until=1)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.rand(1), expected)


def test_a_broken_voxel_stops_training_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"sample \d+, Box\[.*image.h5:raw") as caught:
        train(settings(augment={"intensity": 0}), volumes(broken=True), tmp_path)
    named = str(caught.value)
    assert "\n" not in named
    box = [int(n) for n in named.split("Box[")[1].split("]")[0].replace(":", ", ").split(", ")]
    assert all(low <= 16 < high for low, high in zip(box[::2], box[1::2], strict=True))
    last = Checkpoint.open(tmp_path / "last")
    assert all(bool(torch.isfinite(value).all()) for value in last.weights().values())


def test_other_settings_or_data_do_not_continue_silently(tmp_path: Path) -> None:
    train(settings(), volumes(), tmp_path, until=1)
    with pytest.raises(TrainingError, match=r"erosion = 1, not 2"):
        train(settings(erosion=2), volumes(), tmp_path, until=2)
    image, labels = cells((32, 40, 48))
    other = [LabelledVolume(ArrayVolume(image.astype(np.float32)), ArrayVolume(labels))]
    with pytest.raises(TrainingError, match="other data"):
        train(settings(), other, tmp_path, until=2)
    longer = train(settings(iterations=50, checkpoint_every=5), volumes(), tmp_path, until=2)
    assert longer.iteration == 2


def test_corrected_labels_of_the_same_shape_do_not_continue_silently(tmp_path: Path) -> None:
    train(settings(), volumes(), tmp_path, until=1)
    corrected = volumes()
    for volume in corrected:
        volume.labels.uri = "corrected labels"
    with pytest.raises(TrainingError, match="other data"):
        train(settings(), corrected, tmp_path, until=2)


def test_fine_tuning_begins_with_the_weights_and_grey_levels_of_another(uninterrupted: Path, tmp_path: Path) -> None:
    first = Checkpoint.open(uninterrupted / "last")
    brighter, labels = cells((24, 24, 24), seed=5)
    other = [LabelledVolume(ArrayVolume(brighter), ArrayVolume(labels))]
    tuned = train(settings(start_from=str(first.folder), iterations=3), other, tmp_path, until=0)
    begun = Checkpoint.open(checkpoint_paths(tmp_path)[0])
    assert begun.iteration == 0
    assert begun.weights_sha256 == first.weights_sha256
    assert tuned.checkpoint.normalisation == first.normalisation
    with pytest.raises(TrainingError, match="another network than preset 'small'"):
        train(settings(start_from=str(first.folder), preset="small", patch=(12, 12, 12)), other, tmp_path / "small")


def test_training_learns(tmp_path: Path) -> None:
    """Affinities of an unseen volume become better than the best constant guess."""
    image, labels = cells((40, 40, 40), size=9)
    data = [LabelledVolume(ArrayVolume(image), ArrayVolume(labels))]
    chosen = settings(patch=(24, 24, 24), iterations=80, batch=1, validation={"fraction": 0}, dice=0)
    result = train(chosen, data, tmp_path)
    assert result.best == result.checkpoint.folder
    image, labels = cells((32, 32, 32), seed=9, size=9)
    kind = result.checkpoint.representation()
    target, weight = kind.targets(labels)
    grey = torch.from_numpy(result.checkpoint.normalisation.apply(image))[None, None]
    with torch.no_grad():
        predicted = kind.activation(result.checkpoint.build_network()(grey))[0].numpy()
    known = weight > 0
    right = [((predicted > 0.5) == value)[known & (target == value)].mean() for value in (0, 1)]
    assert np.mean(right) > 0.85, right


def test_settings_document_themselves() -> None:
    schema = settings().model_json_schema()
    fields = [schema["properties"], *(model["properties"] for model in schema["$defs"].values())]
    for properties in fields:
        for name, field in properties.items():
            assert field.get("description", "").endswith("."), name
    assert json.loads(settings().model_dump_json())["seed"] == 4
