"""Targets and losses of PyTorch Connectomics' configurations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from axonloom.pytc.configuration import PytcConfiguration, PytcError
from axonloom.pytc.training_targets import training_regularisers, training_targets
from axonloom.representations.targets import Targets


def given(tmp_path: Path, *words: str) -> PytcConfiguration:
    (tmp_path / "config.yaml").write_text("MODEL: {}\n")
    return PytcConfiguration.load(None, tmp_path / "config.yaml", words)


@pytest.mark.parametrize(
    ("name", "channels"),
    [("UNet", 3), ("UNet-LR", 12), ("UNet-MER", 9), ("Contour-UNet-2x", 4), ("ResNet", 3), ("SwinUNETR", 3)],
)
def test_its_own_configurations(shared, name, channels):
    folder = shared / "oracle" / "pytc" / "configs" / "SNEMI"
    found = training_targets(PytcConfiguration.load(folder / "SNEMI-Base.yaml", folder / f"SNEMI-Affinity-{name}.yaml"))
    targets = Targets(found)
    assert len(targets.channels) == channels
    assert all(len(part["losses"]) == 2 for part in found)
    labels = np.random.default_rng(0).integers(0, 5, (6, 40, 40))
    target, weight = targets.targets(labels)
    assert target.shape == (channels, 6, 40, 40)
    assert weight.shape == (2 * channels, 6, 40, 40)
    if name == "UNet-MER":
        assert [part["erosion"] for part in found] == [1, 2, 4]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["MODEL.TARGET_OPT", "['b']"], "'b', a target that axonloom does not train on"),
        (["MODEL.TARGET_OPT", "['2-1-1-1-pni']"], "pni fails in PyTorch Connectomics too"),
        (["MODEL.TARGET_OPT", "['4-1']"], "'4-1', which lacks some of its parts"),
        (["MODEL.LOSS_OPTION", "[['Hinge']]"], "LOSS_OPTION has 'Hinge'"),
        (["MODEL.WEIGHT_OPT", "[['7']]"], "WEIGHT_OPT has '7'"),
        (["MODEL.OUTPUT_ACT", "[['tanh']]"], "OUTPUT_ACT of WeightedBCE for target '0' is 'tanh'"),
        (["MODEL.LABEL_EROSION", "[1, 2]"], "LABEL_EROSION has 2 entries"),
        (["MODEL.LOSS_WEIGHT", "[[1.0, 2.0]]"], "LOSS_WEIGHT of target '0' has 2 entries: one a loss"),
        (["MODEL.LOSS_KWARGS_KEY", "[[['margin']]]", "MODEL.LOSS_KWARGS_VAL", "[[[3]]]"], "'margin' of WeightedBCE"),
    ],
)
def test_what_there_is_not_is_named(tmp_path, words, message):
    base = ["MODEL.OUTPUT_ACT", "[['sigmoid']]"]
    with pytest.raises(PytcError, match=message):
        training_targets(given(tmp_path, *base, *words))


def test_parameters_of_losses_are_taken_over(tmp_path):
    words = [
        "MODEL.LOSS_OPTION",
        "[['DiceLoss']]",
        "MODEL.OUTPUT_ACT",
        "[['sigmoid']]",
        "MODEL.LOSS_KWARGS_KEY",
        "[[['power']]]",
    ]
    (part,) = training_targets(given(tmp_path, *words, "MODEL.LOSS_KWARGS_VAL", "[[[2]]]"))
    assert part["losses"] == [{"loss": "dice", "weight": 1.0, "balance": "class", "parameters": {"power": 2}}]
    Targets([part])


def test_regularisers_are_taken_over(tmp_path):
    words = [
        "MODEL.REGU_OPT",
        "['Nonoverlap', 'Binary']",
        "MODEL.REGU_TARGET",
        "[[0], [1]]",
        "MODEL.REGU_WEIGHT",
        "[4.0, 1.0]",
    ]
    assert training_regularisers(given(tmp_path, *words)) == [
        {"kind": "apart", "targets": [0], "weight": 4.0},
        {"kind": "decided", "targets": [1], "weight": 1.0},
    ]
    assert training_regularisers(given(tmp_path)) == []
    with pytest.raises(PytcError, match="have 2, 2 and 1 entries"):
        training_regularisers(given(tmp_path, *words[:-1], "[4.0]"))
