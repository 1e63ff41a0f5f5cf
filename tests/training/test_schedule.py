"""Learning rates: the default, and those of PyTorch Connectomics and torch."""

from __future__ import annotations

import json
from math import isclose
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from axonloom.config.optimization import ScheduleSettings
from axonloom.training.schedule import Plateau, learning_rate

# Name of a curve in the fixtures -> how it is asked for here.
CURVES = {
    "WarmupCosineLR_base0.02_max3000_warm1000_factor0.001_linear": (
        1000,
        {"shape": "cosine_throughout", "warmup_from": 0.001},
    ),
    "WarmupCosineLR_base0.02_max3000_warm100_factor0.1_constant": (
        100,
        {"shape": "cosine_throughout", "warmup_from": 0.1, "warmup_constant": True},
    ),
    "WarmupMultiStepLR_base0.02_steps1500,2500_gamma0.1_warm1000": (
        1000,
        {"shape": "steps", "warmup_from": 0.001, "steps": (1500, 2500)},
    ),
}


def test_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(i, highest=2.0, warmup=10, iterations=110) for i in range(111)]
    assert rates[:10] == sorted(rates[:10])
    assert 0 < rates[0] < rates[9] < 2
    assert rates[10] == 2
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert isclose(rates[60], 1.0)
    assert rates[110] == 0
    assert learning_rate(0, highest=1, warmup=0, iterations=1) == 1
    assert learning_rate(999, highest=1, warmup=5, iterations=5) == 0


@pytest.mark.parametrize("name", CURVES)
def test_the_learning_rates_of_pytorch_connectomics(shared: Path, name: str) -> None:
    expected = json.loads((shared / "oracle/pytc/lr_v1.json").read_text())["curves"][name]
    warmup, asked = CURVES[name]
    schedule = ScheduleSettings.model_validate(asked)
    for k, rate in enumerate(expected):
        found = learning_rate(50 * k, highest=0.02, warmup=warmup, iterations=3000, schedule=schedule)
        assert found == pytest.approx(rate, abs=1e-12)


def test_one_cycle_is_that_of_torch() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    # torch counts the first iteration as a step too, and lets the rise end on its last one.
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=0.5, total_steps=101, pct_start=31 / 101, cycle_momentum=False
    )
    schedule = ScheduleSettings(shape="one_cycle")
    for k in range(100):
        found = learning_rate(k, highest=0.5, warmup=30, iterations=100, schedule=schedule)
        assert found == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


def test_a_plateau_is_met_when_torch_meets_it() -> None:
    losses = [5.0, 4.0, 4.0, 4.1, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=2)
    ours = Plateau(2)
    schedule = ScheduleSettings(shape="plateau")
    for k, loss in enumerate(losses):
        ours.see(loss)
        theirs.step(loss)
        found = learning_rate(k, highest=1.0, warmup=0, iterations=99, schedule=schedule, falls=ours.falls)
        assert found == pytest.approx(optimizer.param_groups[0]["lr"])
    assert ours.falls == 3
    again = Plateau(2)
    again.restore(ours.state())
    assert again == ours


def test_what_does_not_go_together_is_said() -> None:
    with pytest.raises(ValidationError, match="needs steps"):
        ScheduleSettings(shape="steps")
    with pytest.raises(ValidationError, match="needs warmup_from"):
        ScheduleSettings(warmup_constant=True)
    with pytest.raises(ValidationError, match="leave warmup_from out"):
        ScheduleSettings(shape="one_cycle", warmup_from=0.1)
