"""Networks of single sections: against the 3-D networks, which have PyTorch Connectomics' outputs, on one section."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from axonloom.networks.layers import NetworkError, SqueezeExcitation
from axonloom.networks.pytc import build_network
from axonloom.networks.registry import build
from axonloom.pytc.defaults import DEFAULTS
from tests.networks.pytc_variants import formula_weights

FILTERS = [16, 16, 32]


def both(kind: str, **how: Any) -> tuple[nn.Module, nn.Module]:
    """The network of sections, and the 3-D one whose kernels are one section thick, with the same weights."""
    volumes = build(f"{kind}_3d", filters=FILTERS, isotropy=[False] * len(FILTERS), **how).eval()
    sections = build(f"{kind}_2d", filters=FILTERS, **how).eval()
    weights = formula_weights({key: tuple(value.shape) for key, value in volumes.state_dict().items()})
    volumes.load_state_dict(weights)
    flat = {key: value.squeeze(2) if value.dim() == 5 else value for key, value in weights.items()}
    assert list(flat) == list(sections.state_dict())
    sections.load_state_dict(flat)
    return sections, volumes


@pytest.mark.parametrize("kind", ["residual_unet", "residual_unet_plus"])
@pytest.mark.parametrize("block", ["residual", "residual_pa"])
@pytest.mark.parametrize(("pooling", "side"), [(False, 33), (True, 32)])
def test_on_one_section_it_is_the_3d_network(kind: str, block: str, pooling: bool, side: int) -> None:
    sections, volumes = both(kind, block=block, pooling=pooling, norm="bn")
    image = torch.from_numpy(np.random.RandomState(42).standard_normal((2, 1, 1, side, side)).astype(np.float32))
    with torch.no_grad():
        expected = volumes(image)
        np.testing.assert_allclose(sections(image), expected, atol=1e-4, rtol=0)
        np.testing.assert_allclose(sections(image.squeeze(2)), expected.squeeze(2), atol=1e-4, rtol=0)
    assert float(expected.std()) > 0.1


def test_instance_norm_and_other_paddings_too() -> None:
    for padding in ("zeros", "reflect", "circular"):
        sections, volumes = both("residual_unet", norm="in", padding=padding, act="leaky_relu")
        image = torch.from_numpy(np.random.RandomState(1).standard_normal((1, 1, 1, 33, 35)).astype(np.float32))
        with torch.no_grad():
            np.testing.assert_allclose(sections(image), volumes(image), atol=1e-4, rtol=0)


@pytest.mark.parametrize("block", ["residual", "residual_se", "residual_pa", "residual_se_pa"])
@pytest.mark.parametrize("kind", ["residual_unet_2d", "residual_unet_plus_2d"])
def test_a_section_is_seen_without_the_others(kind: str, block: str) -> None:
    network = build(kind, filters=FILTERS, block=block, norm="gn").eval()
    image = torch.randn(2, 1, 3, 17, 19)
    with torch.no_grad():
        whole = network(image)
        assert whole.shape == (2, 3, 3, 17, 19)
        for z in range(3):
            torch.testing.assert_close(whole[:, :, z], network(image[:, :, z]), atol=1e-5, rtol=0)


def test_groups_and_reduction_are_those_of_two_axes() -> None:
    network = build("residual_unet_2d", filters=[32, 48], block="residual_se", norm="gn")
    assert {m.num_groups for m in network.modules() if isinstance(m, nn.GroupNorm)} == {16}
    gates = [m for m in network.modules() if isinstance(m, SqueezeExcitation)]
    assert {tuple(m.fc[0].weight.shape) for m in gates} == {(2, 32), (3, 48)}


@pytest.mark.parametrize("architecture", ["unet_2d", "unet_plus_2d"])
def test_built_from_a_model_section(architecture: str) -> None:
    section = {
        **DEFAULTS["MODEL"],
        "ARCHITECTURE": architecture,
        "BLOCK_TYPE": "residual_se",
        "FILTERS": [16, 16, 32, 32, 32],
        "OUT_PLANES": 2,
        "NORM_MODE": "gn",
        "POOLING_LAYER": True,
    }
    network = build_network(section).eval()
    with torch.no_grad():
        assert network(torch.zeros(3, 1, 32, 48)).shape == (3, 2, 32, 48)
        assert network(torch.zeros(1, 1, 2, 32, 48)).shape == (1, 2, 2, 32, 48)


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("residual_unet_2d", {"filters": [24, 32], "norm": "gn"}, "multiples of 16, not 24"),
        ("residual_unet_2d", {"filters": [8, 32], "block": "residual_se"}, "at least 16 filters here, not 8"),
        ("residual_unet_2d", {"isotropy": [True]}, "does not take these parameters"),
        ("residual_unet_plus_2d", {"norm": "none"}, "bn, sync_bn and gn"),
    ],
)
def test_a_network_that_cannot_be_built_says_why(name: str, parameters: dict, says: str) -> None:
    with pytest.raises(NetworkError, match=says):
        build(name, **parameters)


def test_another_number_of_axes_is_said() -> None:
    with pytest.raises(NetworkError, match=r"\(n, c, z, y, x\) or \(n, c, y, x\), not \(1, 33, 33\)"):
        build("residual_unet_2d", filters=FILTERS)(torch.zeros(1, 33, 33))
