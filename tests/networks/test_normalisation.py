from __future__ import annotations

import numpy as np
import pytest

from axonloom.networks.normalisation import Normalisation


def test_grey_levels_of_uint8_become_minus_one_to_one() -> None:
    raw = np.array([0, 51, 255], dtype=np.uint8)
    result = Normalisation().apply(raw)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [-1, -0.6, 1], atol=1e-6)
    assert raw.tolist() == [0, 51, 255]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, ">u2", np.float32, np.float64])
def test_the_range_of_a_dtype_becomes_minus_one_to_one(dtype: str) -> None:
    kind = np.dtype(dtype)
    ends = [0, 1] if kind.kind == "f" else [np.iinfo(kind.name).min, np.iinfo(kind.name).max]
    np.testing.assert_allclose(Normalisation.of_dtype(kind).apply(np.array(ends, dtype=kind)), [-1, 1], atol=1e-6)


def test_round_trip_and_refusals() -> None:
    first = Normalisation(120.25, 31.5)
    assert Normalisation.from_dict(first.to_dict()) == first
    for mean, std in ((0.0, 0.0), (float("nan"), 1.0), (0.0, float("inf"))):
        with pytest.raises(ValueError, match="finite mean"):
            Normalisation(mean, std)
    with pytest.raises(ValueError, match="no grey levels"):
        Normalisation.of_dtype(bool)


def test_float32_input_is_not_changed() -> None:
    raw = np.ones(3, dtype=np.float32)
    Normalisation(1, 2).apply(raw)
    assert raw.tolist() == [1, 1, 1]
