"""The U-Net against the outputs of PyTorch Connectomics, with weights made from the key names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.networks.layers import NetworkError
from axonloom.networks.registry import build
from tests.networks.pytc_variants import formula_weights, require_keys, require_output, variant

SMALL = [
    "unet3d_se_gn",
    "unet3d_res_bn",
    "unet3d_pa_gn",
    "unet3d_sepa_gn",
    "unet3d_se_in_iso_zeros_leaky",
    "unet3d_se_bn_pool_reflect",
    "unet3d_se_gn_4stage",
]


@pytest.mark.parametrize("name", [*SMALL, "snemi_affinity_unet_full"])
def test_keys_and_shapes_are_those_of_pytc(shared: Path, name: str) -> None:
    require_keys(*variant(shared, name))


@pytest.mark.parametrize("name", SMALL)
def test_outputs_are_those_of_pytc(shared: Path, name: str) -> None:
    require_output(shared, name)


def test_large_variant_has_pytc_statistics(shared: Path) -> None:
    spec, network = variant(shared, "snemi_affinity_unet_full")
    network.load_state_dict(formula_weights({k: tuple(s) for k, s in spec["state_dict"]}))
    image = np.random.RandomState(42).standard_normal(spec["input_shape"]).astype(np.float32)
    with torch.no_grad():
        result = network.eval()(torch.from_numpy(image)).numpy().astype(np.float64)
    assert abs(result.mean() - spec["y_mean"]) < 1e-4
    assert abs(result.std() - spec["y_std"]) < 1e-4


@settings(max_examples=12, deadline=None)
@given(
    # Not a single voxel: PyTorch refuses to normalise groups of one value.
    shape=st.tuples(st.integers(1, 7), st.integers(1, 19), st.integers(2, 19)),
    norm=st.sampled_from(["bn", "gn", "none"]),
    deep=st.booleans(),
)
def test_output_has_the_size_of_the_input(shape: tuple[int, int, int], norm: str, deep: bool) -> None:
    network = build(
        "residual_unet_3d", filters=[8, 8, 16], isotropy=[False, True, True], norm=norm, isotropic_blocks=deep
    ).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, *shape)).shape == (1, 3, *shape)


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("residual_unet3d", {}, "did you mean 'residual_unet_3d'"),
        ("residual_unet_3d", {"filter": [8]}, "filter"),
        ("residual_unet_3d", {"filters": [8, 16]}, "isotropy"),
        ("residual_unet_3d", {"norm": "gn", "filters": [28, 36, 48, 64, 80]}, "multiples of 8"),
        ("residual_unet_3d", {"norm": "group"}, "gn"),
        ("residual_unet_3d", {"act": "eluu"}, "elu"),
        ("residual_unet_3d", {"block": "dense"}, "residual_se"),
    ],
)
def test_a_network_that_cannot_be_built_says_why(name: str, parameters: dict, says: str) -> None:
    with pytest.raises(NetworkError, match=says):
        build(name, **parameters)
