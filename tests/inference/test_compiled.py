"""Networks that torch compiles, and the order of a voxel's channels: the same promises, in their own bytes."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from axonloom.config.infer import InferSettings
from axonloom.config.model import ModelSettings
from axonloom.inference.compiled import CompilationError
from axonloom.inference.lattice import WindowLattice
from axonloom.inference.predictor import PredictionError, Predictor, load_predictor, settings_that_matter
from axonloom.inference.views import Views
from axonloom.networks.checkpoint import Checkpoint
from axonloom.networks.foreign import open_checkpoint
from axonloom.networks.normalisation import Normalisation
from axonloom.representations.affinity import Affinity
from tests.flows.block_files import small_checkpoint
from tests.inference.arrays import ArrayVolume, noise, small_network
from tests.inference.test_blockwise import SHAPE, blocked, whole

WINDOW, STRIDE = (8, 16, 16), (4, 8, 8)
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler here")


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("views", [1, 8])
def test_compiled_and_blocked_equals_compiled_and_whole(views):
    seen = Views.of(views, Affinity().seen, "mean") if views > 1 else None
    image, lattice = ArrayVolume(noise(SHAPE)), WindowLattice(SHAPE, WINDOW, STRIDE)

    def predictor(compiled: bool) -> Predictor:
        layout = torch.channels_last_3d
        return Predictor(small_network(), Normalisation(), views=seen, layout=layout, compiled=compiled)

    expected = whole(image, lattice, predictor(True))
    # As a worker has it: networks of its own, one a batch of blocks. More of them than torch compiles before it gives up.
    for _ in range(10):
        np.testing.assert_array_equal(blocked(image, lattice, predictor(True), (12, 24, 24), workers=2), expected)
    plain = whole(image, lattice, predictor(False)).astype(int)
    assert np.abs(expected.astype(int) - plain).max() <= 1


@needs_compiler
def test_what_torch_cannot_compile_is_said():
    class Network(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.repeat(1, 3, 1, 1, 1)

    def broken(*_: object) -> None:
        raise ValueError("this compiler builds nothing")

    predictor = Predictor(Network(), compiled=True)
    predictor.network._network = torch.compile(Network(), backend=broken)
    with pytest.raises(CompilationError, match=r"torch cannot compile this network here .*set infer\.compile to false"):
        predictor.predict(np.zeros((1, 1, 4, 4, 4), np.float32))


def test_what_was_not_asked_for_stays_out_of_the_fingerprint(tmp_path):
    checkpoint = Checkpoint.open(small_checkpoint(tmp_path))
    plain = settings_that_matter(InferSettings(device="cpu"), checkpoint)
    assert not {"compile", "channels_last"} & set(plain)
    given = settings_that_matter(InferSettings(device="cpu", compile=True, channels_last=False), checkpoint)
    assert given == {**plain, "compile": True, "channels_last": False}


def test_a_program_from_elsewhere_is_not_compiled(tmp_path):
    torch.jit.script(torch.nn.Conv3d(1, 3, 1)).save(str(tmp_path / "net.pt"))
    checkpoint = open_checkpoint(tmp_path / "net.pt", ModelSettings(window=(8, 8, 8)))
    with pytest.raises(PredictionError, match=r"infer\.compile is for axonloom's own networks"):
        settings_that_matter(InferSettings(device="cpu", compile=True), checkpoint)


@pytest.mark.parametrize(
    ("given", "layout"),
    [("auto", torch.channels_last_3d), (True, torch.channels_last_3d), (False, torch.contiguous_format)],
)
def test_the_order_of_channels_is_as_it_was_asked_for(tmp_path, given, layout):
    checkpoint = Checkpoint.open(small_checkpoint(tmp_path))
    settings = InferSettings(device="cpu", window=WINDOW, stride=STRIDE, channels_last=given)
    predictor = load_predictor(checkpoint, settings_that_matter(settings, checkpoint))
    assert predictor.layout == layout
    image, lattice = ArrayVolume(noise(SHAPE)), WindowLattice(SHAPE, WINDOW, STRIDE)
    np.testing.assert_array_equal(
        blocked(image, lattice, predictor, (12, 24, 24), workers=2), whole(image, lattice, predictor)
    )
