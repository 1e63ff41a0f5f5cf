"""Labels of real neurons, cut into blocks and merged back."""

from __future__ import annotations

import numpy as np
import pytest

from axonloom.geometry import Box
from axonloom.volumes import open_volume
from benchmarks.cut_and_merged import cut_and_merged


@pytest.fixture(scope="module")
def neurons(shared) -> np.ndarray:
    """A corner of a proofread segmentation of mouse cortex."""
    volume = open_volume(f"precomputed://{shared}/data/pinky40_labels?mip=1")
    return volume.read(Box(start=(256, 380, 128), end=(321, 481, 257)))


@pytest.mark.parametrize("blocks", [(50, 64, 64), pytest.param((32, 32, 32), marks=pytest.mark.slow)])
def test_every_piece_of_a_neuron_is_one_segment_again(neurons, blocks, tmp_path):
    found = cut_and_merged(neurons, blocks, tmp_path)
    assert found.is_exact, found
    assert found.labels > 100
    assert found.pieces > found.labels
