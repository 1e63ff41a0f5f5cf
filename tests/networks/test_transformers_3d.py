"""UNETR and Swin UNETR through MONAI, and what is said where it is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from axonloom.networks.checkpoint import Checkpoint, ModelDescription, write_checkpoint
from axonloom.networks.layers import NetworkError
from axonloom.networks.normalisation import Normalisation
from axonloom.networks.pytc import build_network
from axonloom.networks.registry import architectures, build
from axonloom.pytc.defaults import DEFAULTS

UNETR = {"size": [16, 32, 48], "feature_size": 4, "hidden_size": 24, "mlp_dim": 32, "num_heads": 2}
SWIN = {"feature_size": 12, "depths": [2, 1, 1, 1], "num_heads": [1, 2, 2, 2]}


def test_without_monai_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("monai", "einops")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "monai", None)  # as Python marks what cannot be imported
    assert {"unetr", "swinunetr"} <= set(architectures())
    with pytest.raises(NetworkError, match=r"pip install 'axonloom\[monai\]'"):
        build("unetr", **UNETR)
    for name in ("unetr", "swinunetr"):
        with pytest.raises(NetworkError, match=rf"MODEL\.ARCHITECTURE is '{name}'.*axonloom\[monai\]"):
            build_network({**DEFAULTS["MODEL"], "ARCHITECTURE": name})
    assert build("fpn_3d") is not None


def test_unetr_takes_the_size_it_was_built_for(tmp_path: Path) -> None:
    nets = pytest.importorskip("monai.networks.nets")
    pytest.importorskip("einops")
    network = build("unetr", out_channels=2, **UNETR).eval()
    assert isinstance(network, nets.UNETR)
    image = torch.randn(1, 1, 16, 32, 48)
    with torch.no_grad():
        found = network(image)
    assert found.shape == (1, 2, 16, 32, 48)
    with pytest.raises(NetworkError, match=r"windows of \(16, 32, 48\), not of \(16, 32, 32\)"):
        network(torch.zeros(1, 1, 16, 32, 32))
    # What a checkpoint holds is enough to build it again.
    description = ModelDescription(
        architecture="unetr",
        parameters={**UNETR, "out_channels": 2},
        representation="affinity",
        representation_parameters={"offsets": [[0, 1, 0], [0, 0, 1]]},
        channels=("y", "x"),
        normalisation=Normalisation(),
        voxel_size=None,
        patch=(16, 32, 48),
        window=(16, 32, 48),
        iteration=1,
    )
    again = Checkpoint.open(write_checkpoint(tmp_path, description, network.state_dict()).folder).build_network()
    with torch.no_grad():
        assert torch.equal(again(image), found)


def test_swinunetr_takes_multiples_of_32() -> None:
    nets = pytest.importorskip("monai.networks.nets")
    pytest.importorskip("einops")
    network = build("swinunetr", second_version=True, **SWIN).eval()
    assert isinstance(network, nets.SwinUNETR)
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 32, 32, 64)).shape == (1, 3, 32, 32, 64)
    for size in ((17, 32, 64), (32, 32, 32)):
        with pytest.raises(
            NetworkError, match=rf"multiples of 32 on every axis, and more on one, not of \({size[0]}, 32"
        ):
            network(torch.zeros(1, 1, *size))


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("unetr", {**UNETR, "size": [9, 32, 32]}, "MONAI does not build such a unetr"),
        ("unetr", {**UNETR, "num_heads": 5}, "hidden_size should be divisible by num_heads"),
        ("unetr", {}, "size"),
        ("swinunetr", {"feature_size": 16}, "divisible by 12"),
    ],
)
def test_what_monai_does_not_build_is_said(name: str, parameters: dict, says: str) -> None:
    pytest.importorskip("monai")
    pytest.importorskip("einops")
    with pytest.raises(NetworkError, match=says):
        build(name, **parameters)


def test_built_from_a_model_section() -> None:
    pytest.importorskip("monai")
    pytest.importorskip("einops")
    small = {
        "UNETR_FEATURE_SIZE": 4, "HIDDEN_SIZE": 24, "MLP_DIM": 32, "UNETR_NUM_HEADS": 2, "INPUT_SIZE": [16, 16, 32],
        "SWIN_UNETR_FEATURE_SIZE": 12, "DEPTHS": [1, 1, 1, 1], "SWIN_UNETR_NUM_HEADS": [1, 1, 1, 1], "OUT_PLANES": 2,
    }  # fmt: skip
    for name, size in (("unetr", (16, 16, 32)), ("swinunetr", (32, 32, 64))):
        network = build_network({**DEFAULTS["MODEL"], **small, "ARCHITECTURE": name}).eval()
        with torch.no_grad():
            assert network(torch.zeros(1, 1, *size)).shape == (1, 2, *size)
    with pytest.raises(NetworkError, match="SPATIAL_DIMS is 2"):
        build_network({**DEFAULTS["MODEL"], "ARCHITECTURE": "swinunetr", "SPATIAL_DIMS": 2})
