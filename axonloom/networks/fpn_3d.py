"""The feature pyramid network of PyTorch Connectomics v1 (``fpn_3d``): same layers, same state-dict keys, same outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from axonloom.networks.backbones_3d import STAGES, ResNet3D
from axonloom.networks.efficientnet_3d import EfficientNet3D
from axonloom.networks.layers import NetworkError, Padding, convolution, initialise, unit
from axonloom.networks.registry import register
from axonloom.networks.residual_unet_3d import ANISOTROPIC, cube

BACKBONES = ("resnet", "efficientnet")


@register("fpn_3d")
class FPN3D(nn.Module):
    """Feature pyramid network (Lin et al. 2017, https://arxiv.org/abs/1612.03144).

    An encoder of five stages; each is narrowed to as many channels as the first has, and from the deepest on they are
    interpolated, smoothed and added up.

    Parameters
    ----------
    filters : sequence of int
        Channels of the five stages, full resolution first.
    backbone : str
        ``resnet`` or ``efficientnet``.
    block : str
        Of a resnet: ``residual``, ``residual_se``, ``residual_pa`` or ``residual_se_pa``; of an efficientnet:
        ``inverted_res``.
    blocks : sequence of int
        How many blocks each stage below the first has; of an efficientnet also five numbers, those of all stages.
    kernel_sizes, attention
        Of an efficientnet, see :class:`axonloom.networks.efficientnet_3d.EfficientNet3D`.
    others : as those of :class:`axonloom.networks.residual_unet_3d.ResidualUNet3D`
        Blocks of isotropic stages convolve across sections too.

    Notes
    -----
    Takes (n, in_channels, z, y, x) and returns logits of the same zyx size.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 3,
        filters: Sequence[int] = (28, 36, 48, 64, 80),
        backbone: str = "resnet",
        block: str = "residual",
        blocks: Sequence[int] = (2, 2, 2, 2),
        kernel_sizes: Sequence[int] = (3, 3, 5, 3, 3),
        attention: str = "squeeze_excitation",
        isotropy: Sequence[bool] = ANISOTROPIC,
        isotropic: bool = False,
        padding: Padding = "replicate",
        norm: str = "bn",
        act: str = "elu",
    ) -> None:
        super().__init__()
        stages = [True] * STAGES if isotropic else list(isotropy)
        if backbone not in BACKBONES:
            raise NetworkError(f"there is no backbone {backbone!r}; there are {', '.join(BACKBONES)}")
        for name, given in (("filters", filters), ("isotropy", stages)):
            if len(given) != STAGES:
                raise NetworkError(f"fpn_3d has {STAGES} stages, and so as many {name}, not {len(given)}")
        how: dict[str, Any] = {"padding": padding, "norm": norm, "act": act}
        shared = (in_channels, filters, blocks, block, stages)
        if backbone == "efficientnet":
            self.backbone = EfficientNet3D(*shared, kernel_sizes=kernel_sizes, attention=attention, **how)
        else:
            self.backbone = ResNet3D(*shared, **how)
        width = filters[0]
        self.latlayers = nn.ModuleList(unit(channels, width, (1, 1, 1), **how) for channels in filters)
        self.smooth = nn.ModuleList(unit(width, width, cube(3, each), **how) for each in stages)
        ends = cube(5, stages[0])
        self.conv_out = nn.Sequential(convolution(width, out_channels, ends, padding=padding, bias=True))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        found = [lateral(each) for lateral, each in zip(self.latlayers, self.backbone(x), strict=True)]
        x = found[-1]
        for k in range(STAGES - 1, 0, -1):
            x = functional.interpolate(x, size=found[k - 1].shape[2:], mode="trilinear", align_corners=True)
            x = self.smooth[k](x) + found[k - 1]
        return self.conv_out(self.smooth[0](x))
