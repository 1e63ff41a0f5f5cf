"""The U-Net of PyTorch Connectomics 0.20 and before (``unet_residual_3d``): same layers, same state-dict keys, same outputs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

from torch import Tensor, nn

from axonloom.geometry import Zyx
from axonloom.networks.layers import NetworkError, activation, initialise, normalisation
from axonloom.networks.registry import register

PADDINGS = {"replicate": nn.ReplicationPad3d, "reflect": nn.ReflectionPad3d}
PADDINGS_IN_PLACE = ("zeros", "circular")  # done by the convolution itself
HALVE: Zyx = (1, 2, 2)


def padded_unit(
    inputs: int, outputs: int, kernel: Zyx, *, padding: str = "replicate", norm: str = "bn", act: str = "none"
) -> nn.Sequential:
    """Convolution with bias, normalisation, activation; padding by anything but zeros is a layer of its own, the first."""
    half = cast(Zyx, tuple(k // 2 for k in kernel))
    after = [normalisation(norm, outputs), activation(act)]
    if not any(half):
        return nn.Sequential(nn.Conv3d(inputs, outputs, kernel), *after)
    if padding in PADDINGS_IN_PLACE:
        return nn.Sequential(nn.Conv3d(inputs, outputs, kernel, padding=half, padding_mode=cast(Any, padding)), *after)
    z, y, x = half
    return nn.Sequential(PADDINGS[padding]((x, x, y, y, z, z)), nn.Conv3d(inputs, outputs, kernel), *after)


class LegacyResidualBlock(nn.Module):
    """Two convolutions beside an identity. It always owns a projection, and uses it only where it is told to."""

    def __init__(
        self,
        channels: int,
        kernel: Zyx,
        *,
        project: bool = False,
        padding: str = "replicate",
        norm: str = "bn",
        act: str = "elu",
    ) -> None:
        super().__init__()
        self.project = project
        self.conv = nn.Sequential(
            padded_unit(channels, channels, kernel, padding=padding, norm=norm, act=act),
            padded_unit(channels, channels, kernel, padding=padding, norm=norm),
        )
        self.projector = padded_unit(channels, channels, (1, 1, 1), norm=norm)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x) + (self.projector(x) if self.project else x))


@register("legacy_residual_unet_3d")
class LegacyResidualUNet3D(nn.Module):
    """U-Net that halves y and x only, with residual blocks across sections below the first scale (Lee et al. 2017,
    https://arxiv.org/abs/1706.00120).

    For weights that were trained with PyTorch Connectomics 0.19 or 0.20; to begin anew, take
    :class:`axonloom.networks.residual_unet_3d.ResidualUNet3D`.

    Parameters
    ----------
    in_channels, out_channels : int
    filters : sequence of int
        Channels of each scale, full resolution first; at least three.
    padding : str
        ``replicate``, ``zeros``, ``reflect`` or ``circular``.
    norm, act : str
        See :class:`axonloom.networks.residual_unet_3d.ResidualUNet3D`. Residual blocks of the bottom and of the decoder
        have ``bn`` and ``elu`` whatever is said here, and pad by the nearest voxel: so that program has it.

    Notes
    -----
    Takes (n, in_channels, z, y, x), y and x multiples of 2 to the power of the number of filters less one, and returns
    logits of the same size. The program applied a sigmoid inside the network; here the representation does.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 3,
        filters: Sequence[int] = (28, 36, 48, 64, 80),
        padding: str = "replicate",
        norm: str = "bn",
        act: str = "elu",
    ) -> None:
        super().__init__()
        if len(filters) < 3:
            raise NetworkError(f"legacy_residual_unet_3d has at least 3 filters, not {len(filters)}")
        known = [*PADDINGS, *PADDINGS_IN_PLACE]
        if padding not in known:
            raise NetworkError(f"there is no padding {padding!r}; there are {', '.join(known)}")
        how: dict[str, Any] = {"padding": padding, "norm": norm, "act": act}
        first, flat, cube = filters[0], (1, 3, 3), (3, 3, 3)
        self.downE = nn.Sequential(
            padded_unit(in_channels, first, (1, 5, 5), **how),
            padded_unit(first, first, flat, **how),
            LegacyResidualBlock(first, flat, **how),
        )
        self.downC = nn.ModuleList(
            nn.Sequential(padded_unit(above, here, flat, **how), LegacyResidualBlock(here, cube, **how))
            for above, here in pairwise(filters[:-1])
        )
        self.pool = nn.MaxPool3d(HALVE, HALVE)
        self.center = nn.Sequential(
            padded_unit(filters[-2], filters[-1], flat, **how),
            LegacyResidualBlock(filters[-1], cube, project=True),
        )
        self.upC = nn.ModuleList(
            nn.Sequential(padded_unit(here, here, flat, **how), LegacyResidualBlock(here, cube))
            for here in filters[1:-1]
        )
        self.upE = nn.Sequential(
            padded_unit(first, first, flat, **how),
            LegacyResidualBlock(first, flat, **how),
            padded_unit(first, out_channels, (1, 5, 5), padding=padding, norm=norm),
        )
        self.upS = nn.ModuleList(
            nn.Sequential(
                padded_unit(below, here, (1, 1, 1), norm=norm, act=act),
                nn.Upsample(scale_factor=tuple(map(float, HALVE)), mode="trilinear", align_corners=False),
            )
            for here, below in pairwise(filters)
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        multiple = 2 ** len(self.upS)
        if any(n % multiple for n in x.shape[3:]):
            raise NetworkError(
                f"legacy_residual_unet_3d takes windows whose y and x are multiples of {multiple}, not {tuple(x.shape[3:])}"
            )
        skips = [self.downE(x)]
        for down in self.downC:
            skips.append(down(self.pool(skips[-1])))
        x = self.center(self.pool(skips[-1]))
        for up, widen, skip in zip((self.upE, *self.upC)[::-1], list(self.upS)[::-1], skips[::-1], strict=True):
            x = up(skip + widen(x))
        return x
