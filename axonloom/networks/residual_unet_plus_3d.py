"""The residual 3-D U-Net whose every decoder stage also sees the deepest features: ``unet_plus_3d`` of PyTorch Connectomics v1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from axonloom.networks.layers import Padding
from axonloom.networks.registry import register
from axonloom.networks.residual_unet import DeepestEverywhere
from axonloom.networks.residual_unet_3d import ResidualUNet3D


@register("residual_unet_plus_3d")
class ResidualUNetPlus3D(DeepestEverywhere, ResidualUNet3D):
    """:class:`~axonloom.networks.residual_unet_3d.ResidualUNet3D` with a
    :class:`~axonloom.networks.residual_unet.NonLocal` layer at the bottom, whose result is also added, narrowed and
    interpolated, to what each decoder stage gets.

    Takes the parameters of that one; ``norm`` has to be one with parameters: bn, sync_bn or gn.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 3,
        filters: Sequence[int] = (28, 36, 48, 64, 80),
        padding: Padding = "replicate",
        norm: str = "bn",
        act: str = "elu",
        **more: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, filters, padding=padding, norm=norm, act=act, **more)
        self.add_deepest(filters, 3, padding=padding, norm=norm, act=act)
