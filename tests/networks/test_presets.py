from __future__ import annotations

import json

import pytest
import torch

from axonloom.networks.presets import PRESETS, PresetError, preset
from axonloom.networks.registry import build


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_build_and_can_be_stored(name: str) -> None:
    chosen = preset(name)
    stored = json.loads(json.dumps(chosen.parameters))
    network = build(chosen.architecture, **stored).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 16, 17, 33)).shape == (1, 3, 16, 17, 33)
    assert len(chosen.patch) == len(chosen.window) == 3


def test_snemi_is_that_of_pytc() -> None:
    chosen = preset("snemi")
    network = build(chosen.architecture, **chosen.parameters)
    assert sum(p.numel() for p in network.parameters()) == 3_544_451


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(PresetError, match="did you mean 'medium'"):
        preset("meduim")


def test_isotropic_blocks_see_across_sections_in_every_stage() -> None:
    """A network with one isotropic stage sees 3 sections without and 7 with isotropic blocks."""

    def reach(**parameters: bool) -> int:
        torch.manual_seed(0)
        network = build(
            "residual_unet_3d", filters=[4], isotropy=[True], norm="none", act="gelu", **parameters
        ).double()
        image = torch.randn(1, 1, 21, 5, 5, dtype=torch.float64, requires_grad=True)
        network(image)[0, 0, 10, 2, 2].backward()
        assert image.grad is not None
        return int((image.grad.abs().amax(dim=(0, 1, 3, 4)) > 0).sum())

    assert reach() == 3
    assert reach(isotropic_blocks=True) == 7
