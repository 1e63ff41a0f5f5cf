"""Networks ready to use: an architecture, its parameters, and the patch that it is trained and run on."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from axonloom.bad_input import BadInputError
from axonloom.geometry import Zyx


class PresetError(BadInputError):
    """No preset of that name, said in one sentence."""


@dataclass(frozen=True)
class Preset:
    """What a name in a configuration stands for.

    Attributes
    ----------
    architecture : str
        For :func:`axonloom.networks.registry.build`; input and output channels are added from the data and targets.
    parameters : dict
        Its parameters: plain JSON.
    patch : (z, y, x)
        Voxels that a training sample shows.
    window : (z, y, x)
        Voxels that inference feeds at once.
    isotropic : bool
        Meant for volumes whose voxels are about as deep as wide.
    """

    architecture: str
    parameters: dict[str, Any]
    patch: Zyx
    window: Zyx
    isotropic: bool


PRESETS: dict[str, Preset] = {
    # Minutes on two cores. Measured there on FIB-25 (two minutes of training each, labels eroded by 1, waterz, VOI on
    # unseen sections): batch normalisation 2.09 against 2.49 for group normalisation, whose statistics also change with
    # the window; blocks that convolve across sections 1.89. 0.72 s an iteration; inference at 1.2 million voxels a second
    # before windows overlap.
    "small": Preset(
        architecture="residual_unet_3d",
        parameters={
            "filters": [16, 32, 48, 64],
            "block": "residual",
            "isotropy": [True, True, True, True],
            "isotropic_blocks": True,
            "pooling": True,
            "padding": "zeros",
            "norm": "bn",
            "act": "relu",
        },
        patch=(64, 64, 64),
        window=(64, 64, 64),
        isotropic=True,
    ),
    # A workstation's GPU within hours.
    "medium": Preset(
        architecture="residual_unet_3d",
        parameters={
            "filters": [24, 48, 72, 96, 120],
            "block": "residual_se",
            "isotropy": [True, True, True, True, True],
            "isotropic_blocks": True,
            "pooling": True,
            "padding": "zeros",
            "norm": "bn",
            "act": "relu",
        },
        patch=(80, 80, 80),
        window=(96, 96, 96),
        isotropic=True,
    ),
    # PyTorch Connectomics' SNEMI-Affinity-UNet: sections of 30 nm, pixels of 6 nm.
    "snemi": Preset(
        architecture="residual_unet_3d",
        parameters={
            "filters": [32, 64, 96, 128, 160],
            "block": "residual_se",
            "isotropy": [False, False, False, True, True],
            "pooling": False,
            "padding": "replicate",
            "norm": "gn",
            "act": "elu",
        },
        patch=(17, 257, 257),
        window=(17, 513, 513),
        isotropic=False,
    ),
}


def preset(name: str) -> Preset:
    """The preset called ``name``.

    Raises
    ------
    PresetError
        No such preset; the nearest name is given.
    """
    if name not in PRESETS:
        close = get_close_matches(name, PRESETS, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(PRESETS)}"
        raise PresetError(f"there is no preset {name!r}; {hint}")
    return PRESETS[name]
