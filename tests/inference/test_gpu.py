"""On a GPU: the same promises as on a CPU. Skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from axonloom.geometry import Zyx
from axonloom.inference.lattice import WindowLattice
from axonloom.inference.predictor import Precision, Predictor
from axonloom.networks.normalisation import Normalisation
from tests.inference.arrays import ArrayVolume, noise, small_network
from tests.inference.test_blockwise import BLOCKS, SHAPE, blocked, whole

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")


def predictor(batch: int, precision: Precision = "float32") -> Predictor:
    return Predictor(small_network(), Normalisation(), batch=batch, device="cuda", precision=precision)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize("batch", [1, 4, 6])
@pytest.mark.parametrize("block", BLOCKS)
def test_blocked_equals_whole(block: Zyx, batch: int, precision: Precision) -> None:
    image = ArrayVolume(noise(SHAPE))
    lattice = WindowLattice(SHAPE, (8, 16, 16), (4, 8, 8))
    ours = predictor(batch, precision)
    expected = whole(image, lattice, ours)
    np.testing.assert_array_equal(blocked(image, lattice, ours, block, workers=2), expected)


def test_it_gives_what_a_cpu_gives_but_for_rounding() -> None:
    image = ArrayVolume(noise(SHAPE))
    lattice = WindowLattice(SHAPE, (8, 16, 16), (4, 8, 8))
    there = whole(image, lattice, predictor(4)).astype(int)
    here = whole(image, lattice, Predictor(small_network(), Normalisation())).astype(int)
    assert np.abs(there - here).max() <= 1
