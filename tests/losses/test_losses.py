"""Losses against PyTorch Connectomics' own values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from axonloom.losses.registry import LOSSES, LossError, loss_called

#: Ours -> theirs, the parameters, and whether theirs is given activated values.
PAIRS = [
    ("cross_entropy", "WeightedBCEWithLogitsLoss", {}),
    ("cross_entropy", "WeightedBCEWithLogitsLoss_eps0.02", {"slack": 0.02}),
    ("probability_cross_entropy", "WeightedBCE", {}),
    ("focal", "WeightedBCEFocalLoss", {}),
    ("dice", "DiceLoss", {}),
    ("dice", "DiceLoss_power2", {"power": 2}),
    ("weighted_dice", "WSDiceLoss", {}),
    ("squared_error", "WeightedMSE", {}),
    ("absolute_error", "WeightedMAE", {}),
]


@pytest.fixture(scope="module")
def arrays(shared: Path) -> dict[str, torch.Tensor]:
    with np.load(shared / "oracle" / "pytc" / "losses_v1.npz") as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored}


@pytest.fixture(scope="module")
def values(shared: Path) -> dict[str, float]:
    return json.loads((shared / "oracle" / "pytc" / "losses_v1_values.json").read_text())


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(("ours", "theirs", "parameters"), PAIRS, ids=[theirs for _, theirs, _ in PAIRS])
def test_values_are_those_of_pytorch_connectomics(arrays, values, ours, theirs, parameters, weighted):
    if not weighted and theirs == "WeightedMAE":
        pytest.skip("theirs fails without weights")
    prediction, target = arrays["pred"].float(), arrays["target"].float()
    weight = arrays["weight"].float() if weighted else torch.ones_like(prediction)
    loss = loss_called(ours)
    read = prediction if loss.reads == "logits" else torch.sigmoid(prediction)
    found = loss.function(read, target, weight, **parameters)
    assert float(found) == pytest.approx(values[theirs + ("" if weighted else "__noweight")], rel=1e-5)


@pytest.mark.parametrize(("theirs", "class_weights"), [("WeightedCE", None), ("WeightedCE_cw", (1.0, 2.0, 3.0, 4.0))])
def test_classes_too(arrays, values, theirs, class_weights):
    logits, classes = arrays["pred_ce"].float(), arrays["target_ce"].float()[:, None]
    function = loss_called("class_cross_entropy").function
    found = function(logits, classes, torch.ones_like(classes), class_weights=class_weights)
    assert float(found) == pytest.approx(values[theirs], rel=1e-5)
    assert float(function(logits, classes, torch.zeros_like(classes))) == 0


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"class_cross_entropy"}))
def test_what_is_not_known_changes_nothing(name):
    random = torch.Generator().manual_seed(0)
    read, target = torch.rand((2, 3, 4, 5, 6), generator=random), torch.rand((2, 3, 4, 5, 6), generator=random).round()
    weight = torch.rand((2, 3, 4, 5, 6), generator=random).round()
    function = loss_called(name).function
    other = torch.where(weight > 0, read, torch.rand(read.shape, generator=random))
    assert float(function(read, target, weight)) == pytest.approx(float(function(other, target, weight)), rel=1e-6)


def test_the_nearest_name_is_given():
    with pytest.raises(LossError, match="did you mean 'dice'"):
        loss_called("dyce")
