"""Windows that no machine holds, and networks that do not fit them, are refused with a sentence before anything is computed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from axonloom.alone import run_alone
from axonloom.config.infer import InferSettings
from axonloom.inference.dry_run import dry_run
from axonloom.inference.predictor import OutOfMemoryError, PredictionError, load_predictor, settings_that_matter
from axonloom.networks.checkpoint import Checkpoint, CheckpointError, write_checkpoint
from axonloom.networks.presets import PRESETS, preset
from axonloom.networks.registry import build
from axonloom.runner import StoppedError
from tests.flows.block_files import small_checkpoint
from tests.inference.arrays import small_network
from tests.inference.test_fit import chain


def test_the_largest_layer_counts_with_what_it_gets_and_gives():
    # The first convolution: one channel in, eight out. The last has sixteen in, three out.
    assert dry_run(small_network(), (2, 1, 8, 16, 16)).least_bytes == 4 * 2 * 2048 * (16 + 3)
    two = nn.Sequential(nn.Conv3d(1, 5, 1), nn.ELU(inplace=True))
    assert dry_run(two, (1, 1, 4, 4, 4)).least_bytes == 4 * 64 * (1 + 5)
    apart = nn.Sequential(nn.Conv3d(1, 5, 1), nn.ELU())
    assert dry_run(apart, (1, 1, 4, 4, 4)).least_bytes == 4 * 64 * (5 + 5)


def test_nothing_of_the_network_changes():
    network = small_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert dry_run(network, (1, 1, 8, 16, 16)).shape == (1, 3, 8, 16, 16)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network(torch.zeros(1, 1, 8, 16, 16)).device.type == "cpu"
    assert not any(layer._forward_hooks for layer in network.modules())


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_can_be_asked(name):
    found = preset(name)
    network = build(found.architecture, **{**found.parameters, "in_channels": 1, "out_channels": 3}).eval()
    # A window of its first layer's channels at the very least.
    made = dry_run(network, (1, 1, *found.window))
    assert made.shape == (1, 3, *found.window)
    assert made.least_bytes > 4 * np.prod(found.window) * 8


def test_a_network_that_needs_more_than_there_is_is_refused(tmp_path):
    checkpoint = Checkpoint.open(small_checkpoint(tmp_path))
    # The network wants 8 times what the window's pixels take, so that these alone would fit.
    edge = round((psutil.virtual_memory().total / 16) ** (1 / 3)) // 2 * 2
    settings = InferSettings(device="cpu", window=(edge, edge, edge))
    with pytest.raises(
        OutOfMemoryError, match=rf"takes at least [\d.]+ GB of memory for 1 window of \({edge}, .*infer\.window"
    ):
        load_predictor(checkpoint, settings_that_matter(settings, checkpoint))
    settings = InferSettings(device="cpu", window=(64, 512, 512), batch=4096)
    with pytest.raises(OutOfMemoryError, match=r"4096 windows of .*infer\.batch"):
        load_predictor(checkpoint, settings_that_matter(settings, checkpoint))


@pytest.mark.parametrize("window", [[1 << 14] * 3, [8, 1 << 20, 1 << 14]])
def test_a_window_larger_than_memory_stops_the_stage(tmp_path, window):
    image = np.random.default_rng(2).integers(1, 256, (20, 50, 70), dtype=np.uint8)
    planned = chain(tmp_path, image, infer__window=window, infer__blocks=[8, 16, 16])
    with pytest.raises(StoppedError, match=r"not enough memory for block 0 of infer .*infer\.window"):
        run_alone(planned.infer)
    assert not planned.infer.ledger.read().failed


def test_weights_of_another_network_are_refused_before_the_first_block(tmp_path):
    good = Checkpoint.open(small_checkpoint(tmp_path))
    about = replace(good.description, parameters={**good.description.parameters, "filters": [8, 16]})
    other = write_checkpoint(tmp_path / "other", about, good.weights()).folder
    image = np.random.default_rng(2).integers(1, 256, (20, 50, 70), dtype=np.uint8)
    planned = chain(tmp_path, image, infer__checkpoint=str(other))
    with pytest.raises(CheckpointError, match="do not fit network 'residual_unet_3d'"):
        run_alone(planned.infer)
    assert not planned.infer.ledger.read().failed


def test_a_network_of_other_channels_than_it_says_is_refused_before_the_first_block(tmp_path):
    good = Checkpoint.open(small_checkpoint(tmp_path))
    parameters = {**good.description.parameters, "out_channels": 2}
    network = build("residual_unet_3d", **parameters)
    about = replace(good.description, parameters=parameters)
    other = write_checkpoint(tmp_path / "other", about, network.state_dict()).folder
    image = np.random.default_rng(2).integers(1, 256, (20, 50, 70), dtype=np.uint8)
    planned = chain(tmp_path, image, infer__checkpoint=str(other))
    with pytest.raises(PredictionError, match="the network gives 2 channels, 3 were announced"):
        run_alone(planned.infer)
    assert not planned.infer.ledger.read().failed
