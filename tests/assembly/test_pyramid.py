from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from axonloom.assembly.pyramid import downsample, downsampled_shape
from axonloom.geometry import BlockGrid, Box


def cells(array: np.ndarray, factor: tuple[int, int, int]):
    for at in product(*(range(n) for n in downsampled_shape(array.shape, factor))):
        yield at, array[tuple(slice(a * f, (a + 1) * f) for a, f in zip(at, factor, strict=True))]


@pytest.mark.parametrize("factor", [(2, 2, 2), (1, 2, 2), (3, 1, 2), (1, 1, 1)])
@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("shape", [(5, 7, 9), (1, 1, 1), (1, 8, 3)])
def test_labels_by_mode(shape, factor, dtype):
    labels = np.random.default_rng(0).choice(np.array([0, 3, 2**31, 7], dtype), shape)
    found = downsample(labels, factor, "mode")
    assert found.dtype == dtype
    assert found.shape == downsampled_shape(shape, factor)
    for at, cell in cells(labels, factor):
        ids, counts = np.unique(cell, return_counts=True)
        assert found[at] == ids[np.argmax(counts)]


@pytest.mark.parametrize("factor", [(2, 2, 2), (1, 2, 2), (1, 3, 1)])
def test_images_by_rounded_mean(factor):
    image = np.random.default_rng(1).integers(0, 256, (5, 7, 9), dtype=np.uint8)
    found = downsample(image, factor, "mean")
    assert found.dtype == np.uint8
    for at, cell in cells(image, factor):
        assert found[at] == round(cell.sum(dtype=int) / cell.size)


@pytest.mark.parametrize("method", ["mode", "mean"])
def test_blocks_give_what_the_whole_gives(method):
    array = np.random.default_rng(2).integers(0, 4, (9, 13, 17)).astype(np.uint32)
    whole = downsample(array, (2, 2, 2), method, threads=2)
    for block in BlockGrid(Box.of_shape(array.shape), (4, 6, 8)):
        at = tuple(slice(o // 2, -(-s // 2)) for o, s in zip(block.core.origin, block.core.stop, strict=True))
        np.testing.assert_array_equal(downsample(array[block.core.slices], (2, 2, 2), method), whole[at])


def test_channels_stay_apart():
    image = np.random.default_rng(3).random((2, 5, 7, 9), np.float32)
    found = downsample(image, (2, 1, 2), "mean")
    for channel, expected in zip(found, image, strict=True):
        np.testing.assert_array_equal(channel, downsample(expected, (2, 1, 2), "mean"))


def test_wrong_factors_are_refused():
    with pytest.raises(ValueError, match="factors"):
        downsample(np.zeros((2, 2, 2), np.uint64), (2, 0, 2), "mode")
