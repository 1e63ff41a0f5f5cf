from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from axonloom.inference.blending import blending_weights


@pytest.mark.parametrize("shape", [(9, 33, 33), (8, 16, 24), (17, 65, 65), (1, 32, 32)])
@pytest.mark.parametrize("name", ["gaussian", "bump"])
def test_weights_are_those_of_pytorch_connectomics(shared: Path, name: str, shape: tuple[int, int, int]) -> None:
    with np.load(shared / "oracle" / "pytc" / "blending_v1.npz") as oracle:
        expected = oracle[f"{name}_{'_'.join(map(str, shape))}"]
    # The oracle's bump comes from float32 arithmetic: its exponents of 50 and more are exact to a few 1e-6 only.
    atol = 1e-6 if name == "gaussian" else 5e-6
    np.testing.assert_allclose(blending_weights(name, shape), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("name", ["gaussian", "bump", "constant"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 4), (7, 1, 5)])
def test_weights_are_positive_finite_and_symmetric(name: str, shape: tuple[int, int, int]) -> None:
    weights = blending_weights(name, shape)
    assert weights.shape == shape
    assert weights.dtype == np.float32
    assert np.isfinite(weights).all()
    assert weights.min() > 0
    for axis in range(3):
        np.testing.assert_allclose(weights, np.flip(weights, axis), rtol=1e-5)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="gaussian, bump, constant"):
        blending_weights("hann", (4, 4, 4))  # type: ignore[arg-type]
