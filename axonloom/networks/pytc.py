"""Networks from the ``MODEL`` section of a PyTorch Connectomics configuration: the same state-dict keys and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from axonloom.networks.fpn_3d import BACKBONES
from axonloom.networks.layers import NetworkError
from axonloom.networks.registry import build
from axonloom.networks.transformers_3d import require_monai

#: Architectures of PyTorch Connectomics that axonloom builds, and what they are called here.
ARCHITECTURES = {
    "unet_3d": "residual_unet_3d",
    "unet_plus_3d": "residual_unet_plus_3d",
    "fpn_3d": "fpn_3d",
    "unet_2d": "residual_unet_2d",
    "unet_plus_2d": "residual_unet_plus_2d",
    "unet_residual_3d": "legacy_residual_unet_3d",
    "unetr": "unetr",
    "swinunetr": "swinunetr",
}
#: Those that see one section at a time.
OF_SECTIONS = frozenset({"unet_2d", "unet_plus_2d"})
#: MONAI's own. PyTorch Connectomics changes their patches, so its weights of these do not fit.
OF_MONAI = frozenset({"unetr", "swinunetr"})
#: What 0.20 calls a padding.
PADDINGS = {"rep": "replicate"}


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
        An architecture or backbone that axonloom does not build, or not here: MONAI is missing.
    """
    name = model["ARCHITECTURE"]
    if name not in ARCHITECTURES:
        raise NetworkError(f"MODEL.ARCHITECTURE is {name!r}; axonloom builds {', '.join(ARCHITECTURES)}")
    channels = {"in_channels": model["IN_PLANES"], "out_channels": model["OUT_PLANES"]}
    if name in OF_MONAI:
        try:
            require_monai(name)
        except NetworkError as error:
            raise NetworkError(f"MODEL.ARCHITECTURE is {name!r}; {error}") from None
        return ARCHITECTURES[name], {**channels, **(_unetr(model) if name == "unetr" else _swinunetr(model))}
    parameters = {
        **channels,
        "filters": list(model["FILTERS"]),
        "padding": PADDINGS.get(model["PAD_MODE"], model["PAD_MODE"]),
        "norm": model["NORM_MODE"],
        "act": model["ACT_MODE"],
    }
    if name == "unet_residual_3d":
        if not model["EMBEDDING"]:
            raise NetworkError("MODEL.EMBEDDING is 0; axonloom builds unet_residual_3d with its embedding, 1")
        return ARCHITECTURES[name], parameters
    parameters["block"] = model["BLOCK_TYPE"]
    if name in OF_SECTIONS:
        return ARCHITECTURES[name], {**parameters, "pooling": bool(model["POOLING_LAYER"])}
    parameters |= {"isotropy": list(model["ISOTROPY"]), "isotropic": isotropic}
    if name != "fpn_3d":
        return ARCHITECTURES[name], {**parameters, "pooling": bool(model["POOLING_LAYER"])}
    if model["BACKBONE"] not in BACKBONES:
        raise NetworkError(f"MODEL.BACKBONE is {model['BACKBONE']!r}; axonloom builds {', '.join(BACKBONES)}")
    parameters |= {"backbone": model["BACKBONE"], "blocks": list(model["BLOCKS"])}
    if model["BACKBONE"] == "efficientnet":
        parameters |= {"kernel_sizes": list(model["KERNEL_SIZES"]), "attention": model["ATTENTION"]}
    return ARCHITECTURES[name], parameters


def build_network(model: Mapping[str, Any], *, isotropic: bool = False) -> nn.Module:
    """A network with fresh weights; see :func:`network_parameters`. It returns logits."""
    name, parameters = network_parameters(model, isotropic=isotropic)
    return build(name, **parameters)


def _unetr(model: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "size": list(model["INPUT_SIZE"]),
        "feature_size": model["UNETR_FEATURE_SIZE"],
        "hidden_size": model["HIDDEN_SIZE"],
        "mlp_dim": model["MLP_DIM"],
        "num_heads": model["UNETR_NUM_HEADS"],
        "projection": model["POS_EMBED"],
        "norm": model["NORM_NAME"],
        "conv_block": bool(model["CONV_BLOCK"]),
        "res_block": bool(model["RES_BLOCK"]),
        "dropout": model["UNETR_DROPOUT_RATE"],
    }


def _swinunetr(model: Mapping[str, Any]) -> dict[str, Any]:
    if model["SPATIAL_DIMS"] != 3:
        raise NetworkError(f"MODEL.SPATIAL_DIMS is {model['SPATIAL_DIMS']}; axonloom builds swinunetr with 3")
    return {
        "feature_size": model["SWIN_UNETR_FEATURE_SIZE"],
        "depths": list(model["DEPTHS"]),
        "num_heads": list(model["SWIN_UNETR_NUM_HEADS"]),
        "norm": model["NORM_NAME"],
        "dropout": model["SWIN_UNETR_DROPOUT_RATE"],
        "attention_dropout": model["ATTN_DROP_RATE"],
        "path_dropout": model["DROPOUT_PATH_RATE"],
        "normalize": bool(model["NORMALIZE"]),
        "recompute": bool(model["USE_CHECKPOINT"]),
        "downsample": model["DOWNSAMPLE"],
        "second_version": bool(model["USE_V2"]),
    }
