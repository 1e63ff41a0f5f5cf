"""Networks with a transformer as encoder, as MONAI has them (https://monai.io, an optional package): ``unetr`` and ``swinunetr``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from axonloom.geometry import Zyx
from axonloom.networks.layers import NetworkError
from axonloom.networks.registry import register

SWIN_MULTIPLE = 32  # five times halved


@register("unetr")
def unetr(
    size: Sequence[int],
    in_channels: int = 1,
    out_channels: int = 3,
    feature_size: int = 16,
    hidden_size: int = 768,
    mlp_dim: int = 3072,
    num_heads: int = 12,
    projection: str = "conv",
    norm: str = "instance",
    conv_block: bool = True,
    res_block: bool = True,
    dropout: float = 0.0,
) -> nn.Module:
    """MONAI's UNETR (Hatamizadeh et al. 2021, https://arxiv.org/abs/2103.10504): a vision transformer over patches of
    16 x 16 x 16 voxels, and a convolutional decoder.

    Parameters
    ----------
    size : (z, y, x)
        Voxels that it sees at once, multiples of 16. The network has a number for each place in it, and so takes this size alone:
        train and predict with windows of it.
    feature_size : int
        Channels of the decoder's last stage.
    hidden_size, mlp_dim, num_heads, dropout
        Of the transformer.
    projection : str
        How a patch becomes a vector: ``conv`` or ``perceptron``.
    norm : str
        Of the decoder: ``instance`` or ``batch``.
    conv_block, res_block : bool
        Whether skips end in a convolution, and whether convolutions are residual blocks.

    Returns
    -------
    nn.Module
        Takes (n, in_channels, *size), returns logits of the same zyx size.

    Raises
    ------
    NetworkError
        MONAI is not installed, or does not build it so.
    """
    z, y, x = size
    network = _built(
        "UNETR",
        in_channels=in_channels,
        out_channels=out_channels,
        img_size=(z, y, x),
        feature_size=feature_size,
        hidden_size=hidden_size,
        mlp_dim=mlp_dim,
        num_heads=num_heads,
        proj_type=projection,
        norm_name=norm,
        conv_block=conv_block,
        res_block=res_block,
        dropout_rate=dropout,
    )
    return _looked_at(network, lambda given: given == (z, y, x), f"unetr was built for windows of {(z, y, x)}")


@register("swinunetr")
def swinunetr(
    in_channels: int = 1,
    out_channels: int = 3,
    feature_size: int = 48,
    depths: Sequence[int] = (2, 2, 2, 2),
    num_heads: Sequence[int] = (3, 6, 12, 24),
    norm: str = "instance",
    dropout: float = 0.0,
    attention_dropout: float = 0.0,
    path_dropout: float = 0.0,
    normalize: bool = True,
    recompute: bool = False,
    downsample: str = "merging",
    second_version: bool = False,
) -> nn.Module:
    """MONAI's Swin UNETR (Hatamizadeh et al. 2022, https://arxiv.org/abs/2201.01266): attention within shifted windows, and a
    convolutional decoder.

    Parameters
    ----------
    feature_size : int
        Channels at full resolution, a multiple of 12.
    depths, num_heads : sequence of int
        Layers and attention heads of the four stages.
    norm : str
        Of the convolutions: ``instance`` or ``batch``.
    dropout, attention_dropout, path_dropout : float
    normalize : bool
        Normalise what each stage of the encoder gives.
    recompute : bool
        Compute inner values a second time for the gradient, instead of keeping them: less memory, more time.
    downsample : str
        ``merging``, as it was published first, or ``mergingv2``.
    second_version : bool
        A residual convolution at the beginning of each stage.

    Returns
    -------
    nn.Module
        Takes (n, in_channels, z, y, x) of multiples of 32, at least one of them more, returns logits of the same zyx size.

    Raises
    ------
    NetworkError
        MONAI is not installed, or does not build it so.
    """
    network = _built(
        "SwinUNETR",
        in_channels=in_channels,
        out_channels=out_channels,
        feature_size=feature_size,
        depths=tuple(depths),
        num_heads=tuple(num_heads),
        norm_name=norm,
        drop_rate=dropout,
        attn_drop_rate=attention_dropout,
        dropout_path_rate=path_dropout,
        normalize=normalize,
        use_checkpoint=recompute,
        downsample=downsample,
        use_v2=second_version,
    )
    return _looked_at(
        network,
        # Of a single voxel at the bottom there is no mean to normalise by.
        lambda given: all(n % SWIN_MULTIPLE == 0 for n in given) and max(given) > SWIN_MULTIPLE,
        f"swinunetr takes windows that are multiples of {SWIN_MULTIPLE} on every axis, and more on one",
    )


def require_monai(name: str) -> Any:
    """MONAI's networks; NetworkError where it cannot be imported. ``name`` is what needs it."""
    try:
        import einops  # noqa: F401  # MONAI only finds out in the first forward pass
        from monai.networks import nets
    except ImportError as error:
        raise NetworkError(
            f"network {name!r} is MONAI's, which is not installed here: `pip install 'axonloom[monai]'` ({error})"
        ) from None
    return nets


def _built(kind: str, **parameters: Any) -> nn.Module:
    nets = require_monai(kind.lower())
    try:
        return getattr(nets, kind)(**parameters)
    except (ValueError, KeyError) as error:
        raise NetworkError(f"MONAI does not build such a {kind.lower()}: {error}") from error


def _looked_at(network: nn.Module, fits: Callable[[Zyx], bool], says: str) -> nn.Module:
    """``network``, which says which sizes it takes before one that it does not take fails inside."""

    def look(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        size: Any = tuple(given[0].shape[2:])
        if not fits(size):
            raise NetworkError(f"{says}, not of {size}")

    network.register_forward_pre_hook(look)
    return network
