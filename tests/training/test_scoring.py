"""The best checkpoint by the segmentation of what is held out."""

from __future__ import annotations

import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from axonloom.config.infer import InferSettings
from axonloom.evaluation.decoded import decoded_scores
from axonloom.geometry import Box
from axonloom.inference.blockwise import predict_block
from axonloom.inference.lattice import WindowLattice
from axonloom.inference.predictor import load_predictor, settings_that_matter
from axonloom.networks.checkpoint import Checkpoint
from axonloom.networks.checkpoint_folder import checkpoint_paths
from axonloom.training.errors import TrainingError
from axonloom.training.labelled_volume import LabelledVolume
from axonloom.training.loop import TrainingState, make_sampler, train
from axonloom.training.loss_log import read_log
from axonloom.training.tensorboard import FOLDER
from axonloom.volumes import CroppedVolume, open_volume
from tests.training.cells import ArrayVolume, cells
from tests.training.run_scored_training import SCORING, scored_settings, scored_volumes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert train(scored_settings(), scored_volumes(), folder).status == "finished"
    return folder


def scored(folder: Path) -> list[dict]:
    return [entry["scores"] for entry in read_log(folder / "loss.jsonl") if "scores" in entry]


def assert_equal_trainings(one: Path, other: Path) -> None:
    a, b = Checkpoint.open(one / "last"), Checkpoint.open(other / "last")
    assert a.weights_sha256 == b.weights_sha256
    assert a.description == b.description
    assert scored(one) == scored(other)
    for name in ("best_iteration", "best_scores", "scores", "best_loss"):
        assert a.training_state()[name] == b.training_state()[name]
    assert (one / "best").resolve().name == (other / "best").resolve().name


def test_the_best_is_that_of_the_lowest_voi(uninterrupted: Path) -> None:
    found = scored(uninterrupted)
    assert [each["iteration"] for each in found] == [6, 12, 18, 24, 30, 36]
    least = min(found, key=lambda each: each["voi"])
    best = Checkpoint.open(uninterrupted / "best")
    assert best.iteration == least["iteration"]
    assert best.description.scores == least
    assert least["voi"] == least["voi_split"] + least["voi_merge"]
    assert least["voi"] < found[0]["voi"]
    last = Checkpoint.open(uninterrupted / "last")
    assert last.description.scores == found[-1]
    assert all("validation_loss" in entry for entry in read_log(uninterrupted / "loss.jsonl") if "scores" in entry)


def test_the_scores_are_those_of_inference(uninterrupted: Path) -> None:
    """The best checkpoint, run as ``infer`` runs it over the middle of the volume, and decoded with the defaults."""
    best = Checkpoint.open(uninterrupted / "best")
    judged = scored_volumes()[-1]
    box = Box(start=(2, 2, 1), size=(20, 24, 24))
    parameters = settings_that_matter(InferSettings(device="cpu"), best)
    image = CroppedVolume(judged.image, box)
    lattice = WindowLattice(image.shape, tuple(parameters["window"]), tuple(parameters["stride"]))
    values = predict_block(image, image.box, lattice, load_predictor(best, parameters), skip_blank=True).values
    thresholds = scored_settings().scoring.thresholds
    found = decoded_scores(
        values, judged.labels.read(box), thresholds, low=Decimal("0.05"), high=Decimal("0.99"), absorb=10
    )
    best_threshold = min(found, key=lambda threshold: found[threshold].voi)
    stored = best.description.scores
    assert stored is not None
    assert (stored["threshold"], stored["voi"]) == (str(best_threshold), found[best_threshold].voi)
    assert stored["adapted_rand_error"] == found[best_threshold].adapted_rand_error


@pytest.mark.slow
def test_killed_anywhere_and_continued_equals_uninterrupted(uninterrupted: Path, tmp_path: Path) -> None:
    for kill_after in (7, 9, 11, None):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.training.run_scored_training", str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        assert process.stdout is not None
        for seen, _ in enumerate(process.stdout, start=1):
            if seen == kill_after:
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait() == (0 if kill_after is None else -signal.SIGKILL)
        process.stdout.close()
    assert_equal_trainings(uninterrupted, tmp_path)


def test_scoring_changes_nothing_of_what_is_trained(uninterrupted: Path, tmp_path: Path) -> None:
    train(scored_settings(best_by="loss"), scored_volumes(), tmp_path)
    assert scored(tmp_path) == []
    a, b = (Checkpoint.open(folder / "last") for folder in (uninterrupted, tmp_path))
    assert a.weights_sha256 == b.weights_sha256
    assert b.description.scores is None


@pytest.mark.parametrize(("patience", "by"), [(1, "voi"), (2, "voi"), (1, "adapted_rand")])
def test_patience_follows_the_score(uninterrupted: Path, tmp_path: Path, patience: int, by: str) -> None:
    """At the rate that makes it worse soon, in stretches and in one go."""
    validation = {**scored_settings().validation.model_dump(mode="json"), "every": 2}
    changes = {"best_by": by, "learning_rate": 0.3, "iterations": 60, "validation": validation}
    settings = scored_settings(**changes, patience=patience)
    reached = train(scored_settings(**changes), scored_volumes(), tmp_path / "through").iteration
    assert reached == 60
    figure = {"voi": "voi", "adapted_rand": "adapted_rand_error"}[by]
    figures = [(each["iteration"], each[figure]) for each in scored(tmp_path / "through")]
    best, without, end = np.inf, 0, 60
    for iteration, value in figures:
        best, without = (value, 0) if value < best else (best, without + 1)
        if without == patience:
            end = iteration
            break
    assert end < 60
    whole = train(settings, scored_volumes(), tmp_path / "whole")
    assert (whole.status, whole.iteration) == ("finished", end)
    for until in range(4, 64, 4):
        parts = train(settings, scored_volumes(), tmp_path / "parts", until=until)
    assert (parts.status, parts.iteration) == ("finished", end)
    assert_equal_trainings(tmp_path / "whole", tmp_path / "parts")


def test_every_other_validation_and_the_last(tmp_path: Path) -> None:
    settings = scored_settings(scoring={**SCORING, "every": 2}, iterations=20)
    train(settings, scored_volumes(), tmp_path)
    assert [each["iteration"] for each in scored(tmp_path)] == [12, 20]
    validated = [e["iteration"] for e in read_log(tmp_path / "loss.jsonl") if "validation_loss" in e]
    assert validated == [6, 12, 18, 20]


def test_its_time_is_told_apart_and_tensorboard_shows_it(tmp_path: Path) -> None:
    states: list[TrainingState] = []
    result = train(scored_settings(iterations=13), scored_volumes(), tmp_path, on_progress=states.append)
    assert states[4].scoring_seconds == 0
    assert 0 < states[5].scoring_seconds < states[11].scoring_seconds < result.seconds
    last = states[-1]
    before = states[-2].scoring_seconds
    assert last.iterations_per_second == pytest.approx(13 / (last.seconds - before))
    entries = read_log(tmp_path / "loss.jsonl")
    assert "scoring_seconds" not in entries[4]
    assert entries[5]["scoring_seconds"] <= entries[6]["scoring_seconds"] < entries[6]["seconds"]
    assert last.best_scores == result.best_scores
    events = EventAccumulator(str(tmp_path / FOLDER))
    events.Reload()
    shown = {each.step: each.value for each in events.Scalars("validation VOI")}
    assert shown == pytest.approx({each["iteration"]: each["voi"] for each in scored(tmp_path)})
    names = ("validation VOI, split", "validation VOI, merge", "validation adapted Rand error", "validation threshold")
    assert set(names) <= set(events.Tags()["scalars"])


def test_several_parts_count_by_their_voxels_and_invalid_voxels_do_not(tmp_path: Path) -> None:
    """Held-out slabs of two volumes beside the whole one; what is not valid is not scored."""
    valid = np.ones((32, 32, 48), np.uint8)
    valid[:, :16] = 0
    training, judged = scored_volumes()
    training = LabelledVolume(training.image, training.labels, valid=ArrayVolume(valid, "valid"))
    validation = {"every": 5, "crops": 2, "fraction": 0.3}
    found = {}
    for name, volumes in (("both", [training, judged]), ("slab", [training])):
        settings = scored_settings(validation=validation, iterations=5)
        train(settings, volumes, tmp_path / name)
        found[name] = Checkpoint.open(tmp_path / name / "last")
    both, slab = found["both"].description.scores, found["slab"].description.scores
    assert found["both"].weights_sha256 == found["slab"].weights_sha256
    assert both is not None
    assert slab is not None
    one = scored_settings(validation=validation, iterations=5, scoring={**SCORING, "parts": 1})
    train(one, [training, judged], tmp_path / "one")
    whole = Checkpoint.open(tmp_path / "one" / "last").description.scores
    assert whole is not None
    low, high = sorted([slab["voi"], whole["voi"]])
    # At its own best threshold each is at its best.
    assert low < both["voi"]
    assert whole["iteration"] == slab["iteration"] == 5
    assert both["voi"] != high


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": [{"kind": "foreground"}, {"kind": "contour"}], "erosion": None}, "this network predicts foreground, contour"),
        ({"validation": {"fraction": 0.0, "region": {"start": [0, 0, 0], "stop": [4, 6, 6]}}}, "no valid labelled voxel in"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_said_before_training(tmp_path: Path, changes: dict, message: str) -> None:
    image, labels = cells((32, 32, 48), size=8)
    labels[:8, :8, :8] = 0
    volumes = [LabelledVolume(ArrayVolume(image), ArrayVolume(labels))]
    with pytest.raises(TrainingError, match=message) as caught:
        train(scored_settings(**{"validation": {}, **changes}), volumes, tmp_path)
    assert "\n" not in str(caught.value)
    assert checkpoint_paths(tmp_path) == []


def test_nothing_held_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="best_by voi scores what is held out"):
        scored_settings(validation={"fraction": 0.0})
    with pytest.raises(TrainingError, match="scores what is held out, and nothing is"):
        train(scored_settings(), scored_volumes()[:1], tmp_path)


def test_a_volume_to_validate_on_is_never_trained_on_nor_decides_how() -> None:
    trained, judged = scored_volumes()
    sampler = make_sampler(scored_settings(), [trained, judged])
    assert {sampler.sample(k).crop.volume for k in range(60)} == {0}
    assert {sampler.validation_sample(k).crop.volume for k in range(8)} == {1}
    assert sampler.volumes[0].held_out is None
    alone = make_sampler(scored_settings(), [trained])
    assert sampler.normalisation == alone.normalisation
    for k in range(5):
        assert np.array_equal(sampler.sample(k).image, alone.sample(k).image)
    with pytest.raises(TrainingError, match="for validation alone"):
        make_sampler(scored_settings(), [judged])
    image, labels = cells((24, 28, 26), seed=11, size=8)
    other = ArrayVolume(image, "uint8.h5:raw")
    with pytest.raises(TrainingError, match=r"uint8\.h5:raw, to validate on, holds uint8, and image\.h5:raw.* float32"):
        make_sampler(scored_settings(), [trained, LabelledVolume(other, ArrayVolume(labels), held_out=other.box)])


@pytest.mark.slow
@pytest.mark.timeout(900)  # two minutes, or as many as other work on the machine makes of them
def test_real_images_segment_better_with_training(shared: Path, tmp_path: Path) -> None:
    """FIB-25: trained on sections 0 to 112, scored on the rest as a volume of its own."""
    path = shared / "data" / "fib25" / "train.h5"
    raw, ids = (open_volume(f"{path}:volumes/{name}") for name in ("raw", "labels/neuron_ids"))
    low, high = Box(start=(0, 0, 0), end=(112, 250, 250)), Box(start=(112, 0, 0), end=(176, 250, 250))
    trained, judged = (LabelledVolume(CroppedVolume(raw, box), CroppedVolume(ids, box)) for box in (low, high))
    judged = LabelledVolume(judged.image, judged.labels, held_out=judged.image.box)
    given = {
        "preset": "small", "patch": (32, 48, 48), "batch": 1, "erosion": None, "checkpoint_every": 60, "threads": 2,
        "scoring": {"region": [64, 96, 96], "parts": 1}, "warmup": 20, "window": (32, 48, 48),
    }  # fmt: skip
    # A network that has seen one patch, as what there is to be better than: how good one is after forty hangs on the processor.
    begun = train(
        scored_settings(iterations=1, validation={"every": 1, "crops": 4}, **given),
        [trained, judged],
        tmp_path / "begun",
    )
    settings = scored_settings(iterations=120, validation={"every": 40, "crops": 4}, **given)
    result = train(settings, [trained, judged], tmp_path / "trained")
    found = scored(tmp_path / "trained")
    assert [each["iteration"] for each in found] == [40, 80, 120]
    assert result.best_scores is not None
    assert result.best_scores.voi == min(each["voi"] for each in found)
    assert begun.best_scores is not None
    assert result.best_scores.voi < 0.7 * begun.best_scores.voi
