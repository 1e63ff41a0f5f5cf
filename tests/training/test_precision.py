"""Arithmetic of fewer bits."""

from __future__ import annotations

import pytest
import torch

from axonloom.training.errors import TrainingError
from axonloom.training.loop import train
from axonloom.training.loss_log import read_log
from tests.training.run_training import settings, volumes


def losses(folder) -> list[float]:
    return [entry["loss"] for entry in read_log(folder / "loss.jsonl")]


def test_bfloat16_learns_nearly_the_same_and_goes_on_bit_for_bit(tmp_path):
    plain = settings(iterations=12)
    train(plain, volumes(), tmp_path / "plain")
    short = plain.model_copy(update={"precision": "bfloat16"})
    whole = train(short, volumes(), tmp_path / "whole")
    assert losses(tmp_path / "whole") == pytest.approx(losses(tmp_path / "plain"), rel=0.05)
    assert losses(tmp_path / "whole") != losses(tmp_path / "plain")
    train(short, volumes(), tmp_path / "parts", until=5)
    parts = train(short, volumes(), tmp_path / "parts")
    assert parts.checkpoint.weights_sha256 == whole.checkpoint.weights_sha256
    assert all(value.dtype != torch.bfloat16 for value in whole.checkpoint.weights().values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="here it would work")
def test_float16_needs_a_gpu(tmp_path):
    with pytest.raises(TrainingError, match="float16 is a GPU's"):
        train(settings(precision="float16"), volumes(), tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
def test_float16_learns_and_goes_on(tmp_path):
    short = settings(iterations=12, precision="float16", device="cuda")
    train(short, volumes(), tmp_path, until=5)
    assert train(short, volumes(), tmp_path).iteration == 12
