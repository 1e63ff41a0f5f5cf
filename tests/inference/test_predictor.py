from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from axonloom.inference.predictor import OutOfMemoryError, PredictionError, Predictor
from axonloom.networks.normalisation import Normalisation
from tests.inference.arrays import small_network


def test_each_worker_has_its_own_number_of_threads() -> None:
    """The numbers overlap in time and differ; a number kept for the whole process would fail."""
    meet = threading.Barrier(3)
    seen: dict[int, list[int]] = {}

    def work(count: int) -> None:
        def network(x: torch.Tensor) -> torch.Tensor:
            meet.wait(20)
            first = torch.get_num_threads()
            meet.wait(20)
            seen[count] = [first, torch.get_num_threads()]
            return x

        Predictor(network, threads=count).predict(np.zeros((1, 1, 2, 2, 2), np.float32))
        seen[count].append(torch.get_num_threads())

    before = torch.get_num_threads()
    workers = [threading.Thread(target=work, args=(n,)) for n in (1, 2, 3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert {n: found[:2] for n, found in seen.items()} == {1: [1, 1], 2: [2, 2], 3: [3, 3]}
    assert torch.get_num_threads() == before


def test_threads_are_put_back_after_an_error() -> None:
    before = torch.get_num_threads()

    def fail(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError(f"stop at {torch.get_num_threads()}")

    with pytest.raises(RuntimeError, match=f"stop at {before + 1}"):
        Predictor(fail, threads=before + 1).predict(np.zeros((1, 1, 2, 2, 2), np.float32))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("tanh", lambda x: (np.tanh(x) + 1) / 2),
        ("softmax", lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)),
        ("none", lambda x: x),
        (torch.square, np.square),
    ],
)
def test_activations(activation, expected) -> None:
    values = np.random.default_rng(1).normal(size=(2, 3, 4, 5, 6)).astype(np.float32)
    found = Predictor(lambda x: x, activation=activation, batch=2).predict(values).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(values), atol=1e-6)


def test_a_module_runs_in_evaluation_mode_without_gradients() -> None:
    network = torch.nn.Sequential(torch.nn.Dropout(0.9), small_network())
    predictor = Predictor(network)
    values = np.ones((1, 1, 6, 6, 6), np.float32)
    np.testing.assert_array_equal(predictor.predict(values), predictor.predict(values))
    assert not network.training


def test_normalisation_is_that_of_training() -> None:
    raw = np.array([0, 255], np.uint8).reshape(1, 1, 1, 2)
    np.testing.assert_array_equal(Predictor(lambda x: x, Normalisation()).normalised(raw).ravel(), [-1, 1])
    np.testing.assert_array_equal(Predictor(lambda x: x, lambda p: p / 5).normalised(raw).ravel(), [0, 51])
    assert Predictor(lambda x: x).normalised(raw).dtype == np.float32


def test_bfloat16_is_close_and_float32_outside() -> None:
    values = np.random.default_rng(2).normal(size=(1, 1, 8, 8, 8)).astype(np.float32)
    exact = Predictor(small_network()).predict(values).numpy()
    low = Predictor(small_network(), precision="bfloat16").predict(values).numpy()
    assert low.dtype == np.float32
    assert 0 < np.abs(low - exact).max() < 0.1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"batch": 0}, "at least 1"),
        ({"threads": 0}, "at least 1"),
        ({"activation": "relu"}, "sigmoid, tanh, softmax, none"),
        ({"precision": "float16"}, "float32, tf32, bfloat16"),
        ({"precision": "tf32"}, "GPU"),
    ],
)
def test_impossible_settings_are_refused(settings: dict, says: str) -> None:
    with pytest.raises(PredictionError, match=says):
        Predictor(lambda x: x, **settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_is_named() -> None:
    with pytest.raises(PredictionError, match="no GPU here"):
        Predictor(lambda x: x, device="cuda")


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (lambda x: x[:, :, 1:], "must keep the batch and the voxels"),
        (lambda x: x[:, 0], "must keep the batch and the voxels"),
        (lambda x: torch.cat([x, x], 1), "gives 2 channels, 1 were announced"),
    ],
)
def test_a_network_that_does_not_fit_is_named(network, says: str) -> None:
    with pytest.raises(PredictionError, match=says):
        Predictor(network, channels=1).predict(np.zeros((1, 1, 4, 4, 4), np.float32))


def test_a_batch_of_another_size_is_refused() -> None:
    with pytest.raises(PredictionError, match="a batch here"):
        Predictor(lambda x: x, batch=2).predict(np.zeros((1, 1, 4, 4, 4), np.float32))


def test_too_little_memory_names_what_to_make_smaller() -> None:
    def greedy(windows: torch.Tensor) -> torch.Tensor:
        return torch.empty(2**50, dtype=torch.float32)

    for batch, what in ((1, "infer.window"), (2, "infer.batch")):
        with pytest.raises(
            OutOfMemoryError, match=rf"no memory on cpu for {batch} windows of \(4, 4, 4\).*smaller {what}"
        ):
            Predictor(greedy, batch=batch).predict(np.zeros((batch, 1, 4, 4, 4), np.float32))


def test_other_errors_of_a_network_are_not_taken_for_missing_memory() -> None:
    def wrong(windows: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        Predictor(wrong).predict(np.zeros((1, 1, 4, 4, 4), np.float32))
