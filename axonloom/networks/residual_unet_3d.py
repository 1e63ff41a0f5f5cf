"""The residual 3-D U-Net of PyTorch Connectomics v1: same layers, same state-dict keys, same outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from axonloom.geometry import Zyx
from axonloom.networks.layers import NetworkError, Padding, ResidualBlock, convolution, initialise, unit
from axonloom.networks.registry import register

BLOCKS = {
    "residual": {},
    "residual_se": {"squeeze_excitation": True},
    "residual_pa": {"preactivated": True},
    "residual_se_pa": {"squeeze_excitation": True, "preactivated": True},
}
ANISOTROPIC: tuple[bool, ...] = (False, False, False, True, True)


def cube(size: int, isotropic: bool) -> Zyx:
    return (size, size, size) if isotropic else (1, size, size)


@register("residual_unet_3d")
class ResidualUNet3D(nn.Module):
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
        super().__init__()
        stages = [True] * len(filters) if isotropic else list(isotropy)
        if len(stages) != len(filters):
            raise NetworkError(f"{len(filters)} filters need as many isotropy flags, not {len(stages)}")
        if block not in BLOCKS:
            raise NetworkError(f"there is no block {block!r}; there are {', '.join(BLOCKS)}")
        self.pooling = pooling

        def one_unit(inputs: int, outputs: int, kernel: Zyx, stride: Zyx = (1, 1, 1)) -> nn.Sequential:
            return unit(inputs, outputs, kernel, stride, padding=padding, norm=norm, act=act)

        def one_block(channels: int, isotropic_stage: bool) -> ResidualBlock:
            kernel = cube(3, isotropic_stage and isotropic_blocks)
            return ResidualBlock(channels, kernel, padding=padding, norm=norm, act=act, **BLOCKS[block])

        ends = cube(5, isotropic)
        # The order of these four is that of the parameters in a PyTorch Connectomics optimizer state.
        self.conv_in = one_unit(in_channels, filters[0], ends)
        self.conv_out = nn.Sequential(convolution(filters[0], out_channels, ends, padding=padding, bias=True))
        self.down_layers = nn.ModuleList()
        for i, isotropic_stage in enumerate(stages):
            step: Zyx = (1, 1, 1) if i == 0 else cube(2, isotropic_stage)
            halve: nn.Module = nn.MaxPool3d(step, step) if pooling and i > 0 else nn.Identity()
            stride: Zyx = (1, 1, 1) if pooling else step
            inputs = filters[max(i - 1, 0)]
            into = one_unit(inputs, filters[i], cube(3, isotropic_stage), stride)
            self.down_layers.append(nn.Sequential(halve, into, one_block(filters[i], isotropic_stage)))
        self.up_layers = nn.ModuleList()
        for j in range(len(filters) - 1):
            narrow = one_unit(filters[j + 1], filters[j], cube(3, stages[j + 1]))
            self.up_layers.append(nn.ModuleList([narrow, one_block(filters[j], stages[j])]))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        *skips, x = self.encoded(x)
        for j in range(len(skips) - 1, -1, -1):
            narrow, block = cast(nn.ModuleList, self.up_layers[j])
            x = block(self.sized(narrow(x), skips[j]) + skips[j])
        return self.conv_out(x)

    def encoded(self, x: Tensor) -> list[Tensor]:
        """What each stage of the encoder gives, full resolution first."""
        x = self.conv_in(x)
        found: list[Tensor] = []
        for down in self.down_layers:
            x = down(x)
            found.append(x)
        return found

    def sized(self, x: Tensor, other: Tensor) -> Tensor:
        """``x`` interpolated to the zyx size of ``other``."""
        return functional.interpolate(x, size=other.shape[2:], mode="trilinear", align_corners=not self.pooling)
