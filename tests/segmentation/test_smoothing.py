from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from axonloom.geometry import Box
from axonloom.segmentation.smoothing import gaussian, smooth
from tests.segmentation import oracles


@pytest.mark.parametrize("sigma", ["0", "0.3", "0.7", "1.0", "2.5", "16"])
def test_the_gaussian_sums_to_a_power_of_two(sigma):
    half = gaussian(Decimal(sigma)).astype(np.int64)
    assert half[0] + 2 * half[1:].sum() == 4096
    assert (half >= 0).all()
    assert (np.diff(half) <= 0).all()


def test_close_to_scipy():
    """Within the steps of the fixed point: the kernels differ by rounding their weights only."""
    affinities = np.random.default_rng(0).integers(0, 256, (3, 12, 14, 16), dtype=np.uint8)
    box = Box.of_shape((12, 14, 16))
    result = smooth(affinities, box, box, box, "1.0")
    for c in range(3):
        part = tuple(slice(1, None) if k == c else slice(None) for k in range(3))
        wanted = gaussian_filter(affinities[c][part].astype(np.float64), 1.0, mode="reflect", truncate=3.0)
        np.testing.assert_allclose(result[c][part] / 256, wanted, atol=0.2)


@pytest.mark.parametrize("smoothing", ["0.4", "1.0", ("0", "1.5", "0.5")])
@pytest.mark.parametrize("shape", [(5, 9, 17), (1, 3, 40), (2, 1, 1)])
def test_equals_numpy_in_every_bit(smoothing, shape):
    affinities = np.random.default_rng(1).integers(0, 256, (3, *shape), dtype=np.uint8)
    box = Box.of_shape(shape)
    result = smooth(affinities, box, box, box, smoothing)
    wanted = oracles.smoothed(affinities, smoothing)
    for c in range(3):
        part = tuple(slice(1, None) if k == c else slice(None) for k in range(3))
        np.testing.assert_array_equal(result[c][part], wanted[c][part])


def test_constant_stays_constant():
    affinities = np.full((3, 6, 6, 6), 255, np.uint8)
    box = Box.of_shape((6, 6, 6))
    assert (smooth(affinities, box, box, box, "2.0") == 255 * 256).all()
