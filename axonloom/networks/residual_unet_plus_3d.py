"""The residual 3-D U-Net whose every decoder stage also sees the deepest features: ``unet_plus_3d`` of PyTorch Connectomics v1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from axonloom.networks.layers import NetworkError, Padding, activation, initialise, normalisation
from axonloom.networks.registry import register
from axonloom.networks.residual_unet_3d import ResidualUNet3D


class NonLocal(nn.Module):
    """Each voxel plus what all voxels have, weighted by how alike two embeddings are (Wang et al. 2018,
    https://arxiv.org/abs/1711.07971, the embedded Gaussian).

    At first it changes nothing: the normalisation at its end starts with scale and shift 0.
    """

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        inner = channels // 2
        self.g = nn.Conv3d(channels, inner, 1)
        self.W = nn.Sequential(nn.Conv3d(inner, channels, 1), normalisation(norm, channels))
        self.theta = nn.Conv3d(channels, inner, 1)
        self.phi = nn.Conv3d(channels, inner, 1)

    def start_as_identity(self) -> None:
        last = self.W[1]
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (each(x).flatten(2).transpose(1, 2) for each in (self.theta, self.phi, self.g))
        mixed = functional.scaled_dot_product_attention(queries, keys, values, scale=1.0)
        return self.W(mixed.transpose(1, 2).unflatten(2, x.shape[2:])) + x


@register("residual_unet_plus_3d")
class ResidualUNetPlus3D(ResidualUNet3D):
    """:class:`~axonloom.networks.residual_unet_3d.ResidualUNet3D` with a :class:`NonLocal` layer at the bottom, whose result is
    also added, narrowed and interpolated, to what each decoder stage gets.

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
        if norm in ("in", "none"):
            raise NetworkError(
                f"norm {norm!r} has no scale that could start at 0; residual_unet_plus_3d takes bn, sync_bn and gn"
            )
        super().__init__(in_channels, out_channels, filters, padding=padding, norm=norm, act=act, **more)
        # Padded as for a kernel of 3, so that the result is two voxels longer on each axis: so PyTorch Connectomics has it.
        self.feat_layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(filters[-1], channels, 1, padding=1, padding_mode=padding, bias=False),
                normalisation(norm, channels),
                activation(act),
            )
            for channels in filters[:-1]
        )
        self.non_local = NonLocal(filters[-1], norm)
        initialise(self)
        self.non_local.start_as_identity()

    def forward(self, x: Tensor) -> Tensor:
        *skips, x = self.encoded(x)
        x = deepest = self.non_local(x)
        for j in range(len(skips) - 1, -1, -1):
            narrow, block = cast(nn.ModuleList, self.up_layers[j])
            x = self.sized(narrow(x), skips[j]) + skips[j]
            x = block(x + self.sized(self.feat_layers[j](deepest), x))
        return self.conv_out(x)
