"""Blocked inference with PyTC's lattice gives what PyTC's own test run wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from axonloom.inference.blending import Blending
from axonloom.inference.blockwise import predict_block
from axonloom.inference.lattice import WindowLattice
from axonloom.inference.predictor import Predictor
from axonloom.networks.normalisation import Normalisation
from axonloom.networks.registry import build
from tests.inference.arrays import ArrayVolume


@pytest.mark.parametrize(
    ("case", "blending", "stride", "margin"),
    [
        ("bump_noaug", "bump", (4, 16, 16), (4, 8, 8)),
        ("stride_uneven", "gaussian", (5, 20, 24), (0, 0, 0)),
    ],
)
def test_result_is_that_of_pytc(shared: Path, case: str, blending: Blending, stride, margin) -> None:
    oracle = shared / "oracle" / "pytc"
    with np.load(oracle / "inference_v1.npz") as arrays:
        image, expected = ArrayVolume(arrays["image"]), arrays[case]
    network = build("residual_unet_3d", filters=[8, 16, 16, 24, 32], block="residual_se", norm="gn")
    stored = torch.load(oracle / "checkpoint_00003.pth.tar", weights_only=True)["state_dict"]
    network.load_state_dict({key.removeprefix("module."): value for key, value in stored.items()})
    lattice = WindowLattice(image.shape, (9, 33, 33), stride, margin, far_edge="shift")
    found = predict_block(image, image.box, lattice, Predictor(network, Normalisation()), blending).values
    # PyTC truncates to uint8, axonloom rounds: what is truncated can only be equal or one less.
    difference = found.astype(int) - expected
    assert set(np.unique(difference)) <= {0, 1}
    assert 0.3 < (difference == 1).mean() < 0.7
