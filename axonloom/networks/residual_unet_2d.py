"""Residual U-Nets of single sections: ``unet_2d`` and ``unet_plus_2d`` of PyTorch Connectomics v1, section by section."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from axonloom.networks.by_section import BySection
from axonloom.networks.layers import Padding
from axonloom.networks.registry import register
from axonloom.networks.residual_unet import DeepestEverywhere, ResidualUNet, Stage


class _Plain2D(ResidualUNet):
    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 3,
        filters: Sequence[int] = (32, 64, 128, 256, 512),
        block: str = "residual",
        pooling: bool = False,
        padding: Padding = "replicate",
        norm: str = "bn",
        act: str = "elu",
    ) -> None:
        stages = [
            Stage(channels, step=(1, 1) if i == 0 else (2, 2), kernel=(3, 3), block_kernel=(3, 3))
            for i, channels in enumerate(filters)
        ]
        super().__init__(
            in_channels,
            out_channels,
            stages,
            (5, 5),
            block,
            pooling=pooling,
            padding=padding,
            norm=norm,
            act=act,
        )


@register("residual_unet_2d")
class ResidualUNet2D(BySection, _Plain2D):
    """U-Net with residual blocks that sees one section at a time.

    Parameters
    ----------
    in_channels, out_channels : int
    filters : sequence of int
        Channels of each stage, full resolution first; multiples of 16 for norm ``gn``, at least 16 for blocks with
        squeeze-and-excitation.
    block : str
        ``residual``, ``residual_se``, ``residual_pa`` or ``residual_se_pa``. PyTorch Connectomics has the first two.
    pooling : bool
        Halve by max pooling (for even sizes) instead of by strided convolutions (for sizes 2n + 1).
    padding, norm, act
        See :class:`axonloom.networks.residual_unet_3d.ResidualUNet3D`.

    Notes
    -----
    Takes (n, in_channels, z, y, x) or (n, in_channels, y, x), and returns logits of the same size.
    """


@register("residual_unet_plus_2d")
class ResidualUNetPlus2D(BySection, DeepestEverywhere, _Plain2D):
    """:class:`ResidualUNet2D` with a :class:`~axonloom.networks.residual_unet.NonLocal` layer at the bottom, whose result is
    also added, narrowed and interpolated, to what each decoder stage gets.

    Takes the parameters of that one; ``norm`` has to be one with parameters: bn, sync_bn or gn.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 3,
        filters: Sequence[int] = (32, 64, 128, 256, 512),
        padding: Padding = "replicate",
        norm: str = "bn",
        act: str = "elu",
        **more: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, filters, padding=padding, norm=norm, act=act, **more)
        self.add_deepest(filters, 2, padding=padding, norm=norm, act=act)
