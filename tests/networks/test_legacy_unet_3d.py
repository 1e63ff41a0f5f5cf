"""The U-Net of PyTorch Connectomics 0.20 against its outputs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from axonloom.networks.layers import NetworkError
from axonloom.networks.pytc import build_network
from axonloom.networks.registry import build
from axonloom.pytc.defaults import DEFAULTS
from tests.networks.pytc_variants import formula_weights, require_keys


def spec_of(shared: Path, name: str) -> dict:
    return json.loads((shared / "oracle/pytc/model_legacy_unet_residual_3d_spec.json").read_text())["variants"][name]


@pytest.mark.parametrize("name", ["tiny", "default"])
def test_keys_and_outputs_are_those_of_pytc(shared: Path, name: str) -> None:
    spec = spec_of(shared, name)
    section = {
        **DEFAULTS["MODEL"],
        "ARCHITECTURE": "unet_residual_3d",
        "FILTERS": spec["kwargs"]["filters"],
        "OUT_PLANES": spec["kwargs"]["out_channel"],
        "PAD_MODE": spec["kwargs"]["pad_mode"],
    }
    network = build_network(section)
    require_keys(spec, network)
    network.load_state_dict(formula_weights({k: tuple(s) for k, s in spec["state_dict"]}))
    image = np.random.RandomState(42).standard_normal(spec["input_shape"]).astype(np.float32)
    with torch.no_grad():
        result = torch.sigmoid(network.eval()(torch.from_numpy(image))).numpy()
    expected = np.load(shared / "oracle/pytc/model_legacy_unet_residual_3d.npz")[f"{name}__y"]
    np.testing.assert_allclose(result, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("padding", ["zeros", "reflect", "circular"])
def test_other_paddings_keep_the_size(padding: str) -> None:
    network = build("legacy_residual_unet_3d", filters=[4, 4, 6], padding=padding).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 3, 8, 12)).shape == (1, 3, 3, 8, 12)


def test_what_it_does_not_take_is_said() -> None:
    network = build("legacy_residual_unet_3d", filters=[4, 4, 6])
    with pytest.raises(NetworkError, match=r"y and x are multiples of 4, not \(8, 10\)"):
        network(torch.zeros(1, 1, 3, 8, 10))
    with pytest.raises(NetworkError, match="at least 3 filters"):
        build("legacy_residual_unet_3d", filters=[4, 4])
    with pytest.raises(NetworkError, match="there is no padding 'rep'"):
        build("legacy_residual_unet_3d", padding="rep")
    with pytest.raises(NetworkError, match=r"MODEL\.EMBEDDING is 0"):
        build_network({**DEFAULTS["MODEL"], "ARCHITECTURE": "unet_residual_3d", "EMBEDDING": 0})
