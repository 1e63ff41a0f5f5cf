"""The residual 3-D U-Net of PyTorch Connectomics v1: same layers, same state-dict keys, same outputs."""

from __future__ import annotations

from collections.abc import Sequence

from axonloom.geometry import Zyx
from axonloom.networks.layers import NetworkError, Padding
from axonloom.networks.registry import register
from axonloom.networks.residual_unet import ResidualUNet, Stage

ANISOTROPIC: tuple[bool, ...] = (False, False, False, True, True)


def cube(size: int, isotropic: bool) -> Zyx:
    return (size, size, size) if isotropic else (1, size, size)


@register("residual_unet_3d")
class ResidualUNet3D(ResidualUNet):
    """U-Net with residual blocks, whose stages may treat z apart (Lee et al. 2017, https://arxiv.org/abs/1706.00120).

    Parameters
    ----------
    in_channels, out_channels : int
    filters : sequence of int
        Channels of each stage, full resolution first.
    block : str
        ``residual``, ``residual_se``, ``residual_pa`` or ``residual_se_pa``.
    isotropy : sequence of bool
        For each stage, whether it halves z too and convolves across sections on its way in and out.
    isotropic : bool
        All stages isotropic, and 5 x 5 x 5 instead of 1 x 5 x 5 kernels at both ends.
    isotropic_blocks : bool
        Residual blocks of isotropic stages convolve across sections too. PyTorch Connectomics has no such choice: its
        blocks are always 1 x 3 x 3.
    pooling : bool
        Halve by max pooling (for even sizes) instead of by strided convolutions (for sizes 2n + 1).
    padding : str
        ``replicate``, ``zeros``, ``reflect`` or ``circular``.
    norm, act : str
        See :func:`axonloom.networks.layers.normalisation` and :data:`axonloom.networks.layers.ACTIVATIONS`.

    Notes
    -----
    Takes (n, in_channels, z, y, x) of any size that the stages can halve, and returns logits of the same zyx size.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 3,
        filters: Sequence[int] = (28, 36, 48, 64, 80),
        block: str = "residual",
        isotropy: Sequence[bool] = ANISOTROPIC,
        isotropic: bool = False,
        isotropic_blocks: bool = False,
        pooling: bool = False,
        padding: Padding = "replicate",
        norm: str = "bn",
        act: str = "elu",
    ) -> None:
        halves = [True] * len(filters) if isotropic else list(isotropy)
        if len(halves) != len(filters):
            raise NetworkError(f"{len(filters)} filters need as many isotropy flags, not {len(halves)}")
        stages = [
            Stage(
                channels,
                step=(1, 1, 1) if i == 0 else cube(2, halves[i]),
                kernel=cube(3, halves[i]),
                block_kernel=cube(3, halves[i] and isotropic_blocks),
            )
            for i, channels in enumerate(filters)
        ]
        super().__init__(
            in_channels,
            out_channels,
            stages,
            cube(5, isotropic),
            block,
            pooling=pooling,
            padding=padding,
            norm=norm,
            act=act,
        )
