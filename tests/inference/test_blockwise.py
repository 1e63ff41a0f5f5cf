"""Blocked inference gives the bytes of whole-volume inference, and those are the right ones."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.geometry import BlockGrid, Box, Zyx
from axonloom.inference.blending import Blending, blending_weights
from axonloom.inference.blockwise import predict_block, window_outputs
from axonloom.inference.lattice import WindowLattice
from axonloom.inference.predictor import Predictor
from axonloom.inference.reflection import read_reflected
from axonloom.networks.normalisation import Normalisation
from axonloom.networks.registry import build
from axonloom.volumes.volume import Volume, VolumeError
from tests.inference.arrays import ArrayVolume, noise, small_network

SHAPE = (13, 25, 29)
BLOCKS = [(8, 16, 16), (12, 11, 29), (13, 24, 7)]  # the last two leave blocks that are one voxel thick


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def whole(image: Volume, lattice: WindowLattice, predictor: Predictor, blending: Blending = "gaussian") -> np.ndarray:
    return predict_block(image, image.box, lattice, predictor, blending).values


def blocked(
    image: Volume,
    lattice: WindowLattice,
    predictor: Predictor,
    block: Zyx,
    blending: Blending = "gaussian",
    workers: int = 1,
    seed: int = 0,
) -> np.ndarray:
    """All blocks in a random order on ``workers`` threads."""
    cores = [b.core for b in BlockGrid(image.box, block)]
    order = np.random.default_rng(seed).permutation(len(cores))
    with ThreadPoolExecutor(workers) as pool:
        parts = pool.map(
            lambda i: (cores[i], predict_block(image, cores[i], lattice, predictor, blending).values), order
        )
        result: np.ndarray | None = None
        for core, part in parts:
            if result is None:
                result = np.full((len(part), *image.shape), 77, np.uint8)
            result[(slice(None), *core.slices)] = part
    assert result is not None
    return result


def plain(image: np.ndarray, lattice: WindowLattice, predictor: Predictor, blending: Blending) -> np.ndarray:
    """The definition in float64, window by window over a padded whole volume."""
    pad = [(24, 24)] * 3
    padded = np.pad(image, pad, mode="reflect")
    weights = blending_weights(blending, lattice.window).astype(np.float64)
    total = np.zeros((3, *padded.shape))
    weight = np.zeros(padded.shape)
    for index in np.ndindex(*lattice.counts):
        at = lattice.window_at(index).shifted((24, 24, 24)).slices
        window = predictor.normalised(padded[at][None])[None]
        batch = np.concatenate([window] * predictor.batch)
        total[(slice(None), *at)] += predictor.predict(batch)[0].numpy() * weights
        weight[at] += weights
    inner = Box.of_shape(image.shape).shifted((24, 24, 24)).slices
    return total[(slice(None), *inner)] / weight[inner] * 255


@pytest.mark.parametrize("blending", ["gaussian", "bump", "constant"])
@pytest.mark.parametrize("edge", [((0, 0, 0), "reflect"), ((2, 4, 3), "shift")])
def test_whole_equals_the_definition(blending: Blending, edge) -> None:
    image = noise(SHAPE)
    lattice = WindowLattice(SHAPE, (8, 12, 16), (4, 7, 8), *edge)
    predictor = Predictor(small_network(), Normalisation())
    found = whole(ArrayVolume(image), lattice, predictor, blending)
    expected = plain(image, lattice, predictor, blending)
    assert found.dtype == np.uint8
    assert np.abs(found - expected).max() <= 0.5 + 1e-3
    assert found.std() > 10  # a flat result would hide mistakes


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_blocked_equals_whole(block: Zyx, workers: int) -> None:
    image = ArrayVolume(noise(SHAPE))
    lattice = WindowLattice(SHAPE, (8, 16, 16), (4, 8, 8))
    predictor = Predictor(small_network(), Normalisation())
    np.testing.assert_array_equal(
        blocked(image, lattice, predictor, block, workers=workers, seed=workers), whole(image, lattice, predictor)
    )


@pytest.mark.parametrize(("batch", "threads"), [(1, 2), (3, 1), (4, 2)])
@pytest.mark.parametrize("window", [(8, 16, 16), (7, 9, 11)])
def test_blocked_equals_whole_with_larger_batches_and_more_threads(batch: int, threads: int, window: Zyx) -> None:
    image = ArrayVolume(noise(SHAPE))
    lattice = WindowLattice(SHAPE, window, tuple(n // 2 for n in window))
    predictor = Predictor(small_network(), Normalisation(), batch=batch, threads=threads)
    expected = whole(image, lattice, predictor)
    for seed, block in enumerate(BLOCKS):
        np.testing.assert_array_equal(blocked(image, lattice, predictor, block, workers=2, seed=seed), expected)


def test_a_window_has_its_place_in_the_batch_wherever_the_block_is() -> None:
    """With this network and window the place in the batch was seen to change the last bits of a result."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build("residual_unet_3d", filters=[8, 16, 24], isotropy=[True] * 3, norm="gn", pooling=True)
    image = ArrayVolume(noise((12, 42, 70)))
    lattice = WindowLattice(image.shape, (12, 20, 28), (6, 10, 14))
    predictor = Predictor(network, Normalisation(), batch=2)

    def remember(core: Box) -> dict[Box, np.ndarray]:
        read = lattice.hull(core)
        return {
            window: output.numpy().copy()
            for window, output in window_outputs(
                read_reflected(image, read), read, lattice.indices_touching(core), lattice, predictor
            )
        }

    raw = remember(image.box)
    for core in (Box(start=(0, 11, 15), end=(12, 30, 40)), Box(start=(0, 0, 57), end=(6, 9, 58))):
        for window, output in remember(core).items():
            np.testing.assert_array_equal(output, raw[window])


@given(
    st.tuples(*[st.integers(1, 14)] * 3),
    st.tuples(*[st.integers(1, 8)] * 3),
    st.tuples(*[st.integers(1, 8)] * 3),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.sampled_from(["gaussian", "bump", "constant"]),
    st.sampled_from(["reflect", "shift"]),
    st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_blocked_equals_whole_for_any_sizes(shape, window, stride, block, blending, far_edge, batch) -> None:
    """Windows that overlap oddly, volumes below the window, blocks of one voxel; the output depends on the position."""
    stride = tuple(min(s, w) for s, w in zip(stride, window, strict=True))
    image = ArrayVolume(noise(shape))
    lattice = WindowLattice(shape, window, stride, (1, 0, 2), far_edge)
    ramp = torch.rand((1, 2, *window), generator=torch.Generator().manual_seed(3))
    predictor = Predictor(lambda x: torch.sin(x / 30) * ramp, activation="sigmoid", batch=batch)
    np.testing.assert_array_equal(
        blocked(image, lattice, predictor, block, blending), whole(image, lattice, predictor, blending)
    )


def test_a_perfect_predictor_stays_perfect() -> None:
    """A network that knows each voxel's value whatever the window gives exactly that value."""
    image = noise((9, 20, 31))
    lattice = WindowLattice(image.shape, (8, 8, 8), (3, 4, 8))
    for activation in ("none", lambda x: x):
        predictor = Predictor(lambda x: torch.cat([x, 1 - x, (x > 0.5).float()], 1), lambda p: p / 255, activation)
        found = blocked(ArrayVolume(image), lattice, predictor, (4, 7, 16))
        np.testing.assert_array_equal(found, [image, 255 - image, np.where(image > 127, 255, 0)])


@pytest.mark.parametrize("grey", [0, 1, 77, 128, 254, 255])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 40, 3), (20, 5, 33)])
def test_a_constant_image_gives_a_constant_result(grey: int, shape: Zyx) -> None:
    image = ArrayVolume(np.full(shape, grey, np.uint8))
    lattice = WindowLattice(shape, (8, 8, 8), (4, 4, 4))
    found = whole(image, lattice, Predictor(lambda x: x, lambda p: p / 255, "none"))
    assert np.unique(found).tolist() == [grey]


@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 9, 9), (1, 1, 1), (7, 40, 2)])
def test_volumes_smaller_than_the_window(shape: Zyx) -> None:
    image = ArrayVolume(noise(shape))
    lattice = WindowLattice(shape, (8, 16, 16), (4, 8, 8))
    predictor = Predictor(small_network(), Normalisation())
    found = whole(image, lattice, predictor)
    assert found.shape == (3, *shape)
    np.testing.assert_array_equal(blocked(image, lattice, predictor, (2, 3, 3)), found)


def test_images_with_channels() -> None:
    image = ArrayVolume(noise((2, *SHAPE)))
    lattice = WindowLattice(SHAPE, (8, 16, 16), (4, 8, 8))
    predictor = Predictor(small_network(inputs=2, outputs=1), Normalisation())
    found = whole(image, lattice, predictor)
    assert found.shape == (1, *SHAPE)
    np.testing.assert_array_equal(blocked(image, lattice, predictor, BLOCKS[0]), found)


def test_values_outside_0_to_1_are_clipped_and_rounded_to_the_nearest() -> None:
    raw = np.array([-50, -0.1, 0.4, 0.6, 1.4, 254.4, 254.6, 255.2, 9e9], np.float32).reshape(1, 1, 9)
    lattice = WindowLattice((1, 1, 9), (1, 1, 1), (1, 1, 1))
    found = whole(ArrayVolume(raw), lattice, Predictor(lambda x: x, lambda p: p / 255, "none"), "constant")
    assert found.ravel().tolist() == [0, 0, 0, 1, 1, 254, 255, 255, 255]


def test_a_block_reads_the_image_once_and_only_around_itself() -> None:
    image = ArrayVolume(noise((40, 80, 80)))
    lattice = WindowLattice(image.shape, (8, 16, 16), (4, 8, 8))
    predict_block(image, Box(start=(8, 16, 16), size=(8, 16, 16)), lattice, Predictor(lambda x: x))
    assert image.reads == [Box(start=(4, 8, 8), end=(20, 40, 40))]


def test_values_that_are_not_finite_are_named() -> None:
    image = ArrayVolume(noise((4, 4, 4)))
    lattice = WindowLattice((4, 4, 4), (4, 4, 4), (2, 2, 2))
    with pytest.raises(VolumeError, match="not finite in channel 0"):
        whole(image, lattice, Predictor(lambda x: x * float("nan")))


def test_a_core_outside_and_a_lattice_of_another_volume_are_refused() -> None:
    image = ArrayVolume(noise((4, 4, 4)))
    with pytest.raises(VolumeError, match="not a block of it"):
        predict_block(
            image,
            Box(start=(0, 0, 2), size=(4, 4, 4)),
            WindowLattice((4, 4, 4), (2,) * 3, (1,) * 3),
            Predictor(lambda x: x),
        )
    with pytest.raises(ValueError, match="lattice covers"):
        predict_block(image, image.box, WindowLattice((4, 4, 5), (2,) * 3, (1,) * 3), Predictor(lambda x: x))


def test_blocked_equals_whole_on_real_images(shared: Path) -> None:
    with h5py.File(shared / "data" / "fib25" / "unlabelled.h5") as file:
        crop = file["volumes/raw"][100:125, 60:109, 80:136]
    image = ArrayVolume(crop)
    lattice = WindowLattice(image.shape, (16, 32, 32), (8, 16, 16))
    predictor = Predictor(small_network(), Normalisation())
    expected = whole(image, lattice, predictor)
    for block in ((16, 32, 32), (24, 48, 35)):
        np.testing.assert_array_equal(blocked(image, lattice, predictor, block, workers=2), expected)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("stride", [(4, 8, 8), (5, 7, 16), (8, 16, 16)])
def test_cropped_windows_leave_no_trace_of_blocks_either(block: Zyx, stride: Zyx) -> None:
    image = ArrayVolume(noise(SHAPE))
    lattice = WindowLattice(SHAPE, (8, 16, 16), stride, crop=True)
    predictor = Predictor(small_network(), Normalisation())
    found = whole(image, lattice, predictor, "constant")
    np.testing.assert_array_equal(blocked(image, lattice, predictor, block, "constant"), found)


def test_cropped_windows_give_each_voxel_from_the_middle_of_one() -> None:
    """The output is the place in the window, so what is stored shows where it was taken from."""
    lattice = WindowLattice((1, 1, 50), (1, 1, 16), (1, 1, 9), crop=True)
    place = torch.arange(16.0).reshape(1, 1, 1, 1, 16)
    found = whole(
        ArrayVolume(noise((1, 1, 50))), lattice, Predictor(lambda x: place / 255, activation="none"), "constant"
    )
    assert found.ravel().tolist() == [3 + x % 9 for x in range(50)]


def test_blank_windows_are_not_predicted_wherever_the_blocks_lie() -> None:
    seen: list[np.ndarray] = []

    def network(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.numpy().copy())
        return torch.sigmoid(x.repeat(1, 3, 1, 1, 1))

    array = noise((13, 40, 44))
    array[:, :, :30] = 7
    image = ArrayVolume(array)
    lattice = WindowLattice(image.shape, (8, 16, 16), (4, 8, 8))
    predictor = Predictor(network, Normalisation(), channels=3)
    found = predict_block(image, image.box, lattice, predictor, skip_blank=True)
    assert 0 < found.blank < found.windows
    assert len(seen) == found.windows - found.blank
    assert all(window.min() < window.max() for window in seen)
    assert not found.values[..., :16].any()
    assert found.values[..., 30:].all()
    for block in BLOCKS:
        for each in BlockGrid(image.box, block):
            part = predict_block(image, each.core, lattice, predictor, skip_blank=True)
            np.testing.assert_array_equal(part.values, found.values[(slice(None), *each.core.slices)])
    assert predict_block(image, image.box, lattice, predictor).blank == 0


def test_batches_at_once_change_no_byte() -> None:
    image = ArrayVolume(noise(SHAPE))
    lattice = WindowLattice(SHAPE, (8, 16, 16), (4, 8, 8))
    for batch in (1, 3):
        predictor = Predictor(small_network(), Normalisation(), batch=batch)
        expected = predict_block(image, image.box, lattice, predictor).values
        for at_once in (2, 5):
            found = predict_block(image, image.box, lattice, predictor, at_once=at_once)
            np.testing.assert_array_equal(found.values, expected)


def test_a_window_that_fails_ends_the_block_with_its_error() -> None:
    count = iter(range(100))

    def network(x: torch.Tensor) -> torch.Tensor:
        if next(count) == 5:
            raise RuntimeError("out of memory")
        return x

    image = ArrayVolume(noise(SHAPE))
    lattice = WindowLattice(SHAPE, (8, 16, 16), (4, 8, 8))
    with pytest.raises(RuntimeError, match="out of memory"):
        predict_block(image, image.box, lattice, Predictor(network), at_once=2)
