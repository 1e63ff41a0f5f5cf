"""Networks from the ``MODEL`` section of a PyTorch Connectomics v1 configuration: the same state-dict keys and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from axonloom.networks.layers import NetworkError
from axonloom.networks.registry import build

#: Architectures of PyTorch Connectomics that axonloom builds, and what they are called here.
ARCHITECTURES = {"unet_3d": "residual_unet_3d", "unet_plus_3d": "residual_unet_plus_3d", "fpn_3d": "fpn_3d"}


def network_parameters(model: Mapping[str, Any], *, isotropic: bool = False) -> tuple[str, dict[str, Any]]:
    """Architecture and parameters, for :func:`axonloom.networks.registry.build`, of a ``MODEL`` section.

    Parameters
    ----------
    model
        With all its keys (see :class:`axonloom.pytc.configuration.PytcConfiguration`).
    isotropic : bool
        ``DATASET.IS_ISOTROPIC``.

    Raises
    ------
    NetworkError
        An architecture that axonloom does not build.
    """
    name = model["ARCHITECTURE"]
    if name not in ARCHITECTURES:
        raise NetworkError(f"MODEL.ARCHITECTURE is {name!r}; axonloom builds {', '.join(ARCHITECTURES)}")
    parameters = {
        "in_channels": model["IN_PLANES"],
        "out_channels": model["OUT_PLANES"],
        "filters": list(model["FILTERS"]),
        "block": model["BLOCK_TYPE"],
        "isotropy": list(model["ISOTROPY"]),
        "isotropic": isotropic,
        "padding": model["PAD_MODE"],
        "norm": model["NORM_MODE"],
        "act": model["ACT_MODE"],
    }
    if name == "fpn_3d":
        return ARCHITECTURES[name], {**parameters, "backbone": model["BACKBONE"], "blocks": list(model["BLOCKS"])}
    return ARCHITECTURES[name], {**parameters, "pooling": bool(model["POOLING_LAYER"])}


def build_network(model: Mapping[str, Any], *, isotropic: bool = False) -> nn.Module:
    """A network with fresh weights; see :func:`network_parameters`. It returns logits."""
    name, parameters = network_parameters(model, isotropic=isotropic)
    return build(name, **parameters)
