"""``unet_plus_3d`` and ``fpn_3d`` against the outputs of PyTorch Connectomics, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from axonloom.networks.layers import NetworkError
from axonloom.networks.pytc import build_network
from axonloom.networks.registry import build
from axonloom.networks.residual_unet import NonLocal
from axonloom.pytc.defaults import DEFAULTS
from tests.networks.pytc_variants import require_keys, require_output, variant

VARIANTS = ["unetplus3d_se_gn", "fpn3d_resnet_se_gn", "fpn3d_effnet_gn"]
EFFICIENT = {"backbone": "efficientnet", "block": "inverted_res"}


@pytest.mark.parametrize("name", VARIANTS)
def test_keys_and_shapes_are_those_of_pytc(shared: Path, name: str) -> None:
    require_keys(*variant(shared, name))


@pytest.mark.parametrize("name", VARIANTS)
def test_outputs_are_those_of_pytc(shared: Path, name: str) -> None:
    require_output(shared, name)


def test_a_fresh_non_local_layer_changes_nothing() -> None:
    network = build("residual_unet_plus_3d", filters=[8, 16], isotropy=[False, True], norm="gn")
    layer = network.non_local
    assert isinstance(layer, NonLocal)
    x = torch.randn(1, 16, 2, 3, 4)
    assert torch.equal(layer(x), x)


@pytest.mark.parametrize(("shape", "pooling"), [((1, 17, 19), False), ((5, 16, 31), False), ((4, 16, 35), True)])
def test_output_has_the_size_of_the_input(shape: tuple[int, int, int], pooling: bool) -> None:
    filters = [8, 8, 8, 16, 16]
    for name, more in (
        ("residual_unet_plus_3d", {"pooling": pooling}),
        ("fpn_3d", {"blocks": [1, 2, 1, 1]}),
        ("fpn_3d", EFFICIENT),
    ):
        network = build(name, filters=filters, norm="gn", **more).eval()
        with torch.no_grad():
            assert network(torch.zeros(1, 1, *shape)).shape == (1, 3, *shape)


def test_an_efficientnet_with_blocks_of_four_stages_has_one_in_the_first() -> None:
    filters = [8, 8, 8, 16, 16]
    four, five = (
        build("fpn_3d", filters=filters, blocks=blocks, norm="gn", **EFFICIENT).state_dict()
        for blocks in ([2, 2, 2, 2], [1, 2, 2, 2, 2])
    )
    assert {key: value.shape for key, value in four.items()} == {key: value.shape for key, value in five.items()}


def test_an_efficientnet_from_a_model_section() -> None:
    section = {**DEFAULTS["MODEL"], "ARCHITECTURE": "fpn_3d", "BACKBONE": "efficientnet", "BLOCK_TYPE": "inverted_res"}
    network = build_network({**section, "FILTERS": [8, 8, 8, 8, 16]}).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 5, 17, 17)).shape == (1, 1, 5, 17, 17)


@pytest.mark.parametrize("architecture", ["unet_3d", "unet_plus_3d", "fpn_3d"])
def test_built_from_a_model_section(architecture: str) -> None:
    section = {
        **DEFAULTS["MODEL"],
        "ARCHITECTURE": architecture,
        "BLOCK_TYPE": "residual_se",
        "FILTERS": [8, 8, 8, 8, 16],
        "OUT_PLANES": 2,
    }
    network = build_network(section).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 5, 17, 17)).shape == (1, 2, 5, 17, 17)


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("residual_unet_plus_3d", {"norm": "in"}, "bn, sync_bn and gn"),
        ("fpn_3d", {"backbone": "repvgg"}, "'repvgg'; there are resnet"),
        ("fpn_3d", {"block": "dense"}, "residual_se"),
        ("fpn_3d", {"filters": [8, 8, 16]}, "as many filters, not 3"),
        ("fpn_3d", {"blocks": [2, 2, 2]}, "4 numbers of at least 1"),
        ("fpn_3d", {"blocks": [2, 2, 0, 2]}, "4 numbers of at least 1"),
        ("fpn_3d", {"backbone": "efficientnet"}, "no block 'residual' of an efficientnet"),
        ("fpn_3d", {**EFFICIENT, "blocks": [1, 2]}, "5 numbers of at least 1"),
        ("fpn_3d", {**EFFICIENT, "kernel_sizes": [3, 3, 7, 3, 3]}, "3 or 5"),
        ("fpn_3d", {**EFFICIENT, "attention": "strip_pool"}, "there is squeeze_excitation"),
    ],
)
def test_a_network_that_cannot_be_built_says_why(name: str, parameters: dict, says: str) -> None:
    with pytest.raises(NetworkError, match=says):
        build(name, **parameters)
