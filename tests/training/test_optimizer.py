"""Steps of the optimizer: those of PyTorch Connectomics, accumulated gradients, averaged weights, and an early end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from axonloom.config.train import TrainSettings
from axonloom.networks.checkpoint import Checkpoint, write_checkpoint
from axonloom.networks.presets import PRESETS
from axonloom.networks.registry import build
from axonloom.representations.affinity import Affinity
from axonloom.training.errors import TrainingError
from axonloom.training.loop import train
from axonloom.training.loss_log import read_log
from axonloom.training.optimizer import make_optimizer, set_learning_rate
from axonloom.training.schedule import learning_rate
from tests.networks.pytc_variants import formula_weights
from tests.training.run_training import settings, volumes


def test_three_steps_of_pytorch_connectomics(shared: Path) -> None:
    """Losses and weights after three steps of SGD under a warmup and a cosine, with decay for kernels alone."""
    expected = json.loads((shared / "oracle/pytc/train_3steps_v1.json").read_text())
    arrays = np.load(shared / "oracle/pytc/train_3steps_v1.npz")
    network = build(
        "residual_unet_3d", in_channels=1, out_channels=3, filters=[8, 16, 16, 24, 32], block="residual_se", norm="gn",
        isotropy=[False, False, False, True, True],
    )  # fmt: skip
    network.load_state_dict(formula_weights({k: tuple(v.shape) for k, v in network.state_dict().items()}))
    fitted = TrainSettings.model_validate(
        {
            "learning_rate": 0.02,
            "weight_decay": 1e-4,
            "warmup": 2,
            "iterations": 6,
            "optimizer": {"name": "sgd", "momentum": 0.9},
            "schedule": {"shape": "cosine_throughout", "warmup_from": 1e-3},
        }
    )
    optimizer = make_optimizer(network, fitted)
    for k in range(3):
        rate = learning_rate(
            k,
            highest=fitted.learning_rate,
            warmup=fitted.warmup,
            iterations=fitted.iterations,
            schedule=fitted.schedule,
        )
        assert rate == pytest.approx(expected["lr"][k], abs=1e-12)
        set_learning_rate(optimizer, rate)
        optimizer.zero_grad()
        image, target, weight = (
            torch.from_numpy(arrays[f"b{k}_{name}"].astype(np.float32)) for name in ("input", "target", "weight")
        )
        loss = Affinity(dice=0.5).loss(network(image), target, weight)
        loss.backward()
        optimizer.step()
        assert float(loss.detach()) == pytest.approx(expected["losses"][k]["total"], abs=1e-4)
    for key, value in network.state_dict().items():
        assert np.abs(value.numpy() - arrays[f"w3__{key}"]).max() < 1e-4, key


def test_groups_have_their_own_decay_and_rate() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv3d(1, 2, 1), torch.nn.GroupNorm(1, 2), torch.nn.Conv3d(2, 1, 1, bias=False)
    )
    chosen = {"name": "adam", "decay_norms": 0.1, "decay_biases": 0.2, "bias_rate": 2.0}
    optimizer = make_optimizer(network, TrainSettings.model_validate({"weight_decay": 0.3, "optimizer": chosen}))
    set_learning_rate(optimizer, 0.5)
    kernels, norms, biases = optimizer.param_groups
    assert [len(group["params"]) for group in (kernels, norms, biases)] == [2, 2, 1]
    assert [group["weight_decay"] for group in (kernels, norms, biases)] == [0.3, 0.1, 0.2]
    assert [group["lr"] for group in (kernels, norms, biases)] == [0.5, 0.5, 1.0]


def test_accumulated_batches_are_one_larger_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to the last bit, for sums are in another order; instance norm, so that a batch is the sum of its samples."""
    tiny = PRESETS["tiny"]
    monkeypatch.setitem(PRESETS, "alone", replace(tiny, parameters={**tiny.parameters, "norm": "in"}))
    found = []
    for name, batch, accumulate in (("large", 4, 1), ("small", 1, 4)):
        chosen = settings(preset="alone", batch=batch, accumulate=accumulate, iterations=4, optimizer={"name": "sgd"})
        assert train(chosen, volumes(), tmp_path / name).status == "finished"
        found.append([entry["loss"] for entry in read_log(tmp_path / name / "loss.jsonl")])
    assert np.allclose(*found, rtol=1e-4)


def averaged(kind: str, **changes: object) -> TrainSettings:
    return settings(iterations=20, average={"kind": kind, "decay": 0.8, "start": 3, "every": 2}, **changes)


@pytest.mark.parametrize("kind", ["moving", "equal"])
def test_averaged_weights_are_what_is_saved_and_go_on(tmp_path: Path, kind: str) -> None:
    raw = []
    for until in range(1, 21):
        train(settings(iterations=20, checkpoint_every=50), volumes(), tmp_path / "raw", until=until)
        raw.append(Checkpoint.open(tmp_path / "raw" / "last").weights())
    expected: dict[str, torch.Tensor] = {}
    for n, weights in enumerate(raw[4::2]):  # iterations 5, 7, ...
        share = max(0.2, 1 / (n + 1)) if kind == "moving" else 1 / (n + 1)
        for key, value in weights.items():
            if value.is_floating_point():
                expected[key] = value if n == 0 else expected[key] + share * (value - expected[key])
    train(averaged(kind), volumes(), tmp_path / "whole")
    found = Checkpoint.open(tmp_path / "whole" / "last")
    for key, value in expected.items():
        assert torch.allclose(found.weights()[key], value, atol=1e-6), key
    for until in (2, 8, 13, 20):
        train(averaged(kind), volumes(), tmp_path / "parts", until=until)
    again = Checkpoint.open(tmp_path / "parts" / "last")
    assert again.weights_sha256 == found.weights_sha256
    assert again.description.validation_loss == found.description.validation_loss


def test_training_ends_when_patience_does(tmp_path: Path) -> None:
    # Nothing is learned, so no validation is better than the first.
    chosen = settings(
        learning_rate=1e-12, weight_decay=0.0, patience=2, validation={"every": 4, "crops": 1}, preset="tiny"
    )
    result = train(chosen, volumes(), tmp_path)
    losses = [entry["validation_loss"] for entry in read_log(tmp_path / "loss.jsonl") if "validation_loss" in entry]
    best = int(np.argmin(losses))
    assert result.status == "finished"
    assert result.iteration == result.checkpoint.iteration == 4 * (best + 1 + 2)
    again = train(chosen, volumes(), tmp_path)
    assert (again.status, again.iteration) == ("finished", result.iteration)
    # In parts it ends at the same place, and with more patience it goes on from there.
    for until in (3, 9, 10, 40):
        parts = train(chosen, volumes(), tmp_path / "parts", until=until)
    assert (parts.status, parts.iteration) == ("finished", result.iteration)
    assert parts.checkpoint.weights_sha256 == result.checkpoint.weights_sha256
    longer = train(chosen.model_copy(update={"patience": 3}), volumes(), tmp_path)
    assert longer.iteration == result.iteration + 4


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {"name": "sgd"}, "schedule": {"shape": "plateau", "patience": 3}, "gradient_value": 0.01},
        {"optimizer": {"name": "adam"}, "accumulate": 2, "gradient_norm": None},
        {
            "average": {"kind": "moving", "start": 2},
            "schedule": {"shape": "steps", "steps": [8, 15]},
            "accumulate": 2,
            "patience": 9,
        },
    ],
)
def test_parts_equal_the_whole_for_other_ways_of_fitting(tmp_path: Path, changes: dict) -> None:
    chosen = settings(iterations=20, **changes)
    train(chosen, volumes(), tmp_path / "whole")
    for until in (1, 3, 11, 20):
        train(chosen, volumes(), tmp_path / "parts", until=until)
    one, other = (Checkpoint.open(tmp_path / name / "last") for name in ("whole", "parts"))
    assert one.weights_sha256 == other.weights_sha256
    rates = {entry["learning_rate"] for entry in read_log(tmp_path / "whole" / "loss.jsonl")[5:]}
    assert len(rates) > 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patience": 2, "validation": {"fraction": 0}}, "holds nothing out"),
        ({"average": {"kind": "equal", "start": 40}}, "begin at iteration 41"),
    ],
)
def test_what_does_not_go_together_is_said(changes: dict, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(**changes)


def test_a_checkpoint_of_an_older_axonloom_is_not_gone_on_from(tmp_path: Path) -> None:
    train(settings(), volumes(), tmp_path, until=6)
    last = Checkpoint.open(tmp_path / "last")
    state = last.training_state()
    del state["plateau"]
    write_checkpoint(tmp_path, last.description, last.weights(), state)
    with pytest.raises(TrainingError, match=r"older axonloom.*train\.start_from"):
        train(settings(), volumes(), tmp_path)
