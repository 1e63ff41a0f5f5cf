"""What residual U-Nets of volumes and of single sections have in common: stages that halve, and stages that add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from axonloom.networks.layers import (
    CONVOLUTIONS,
    NetworkError,
    Padding,
    ResidualBlock,
    Sizes,
    activation,
    convolution,
    initialise,
    normalisation,
    unit,
)

BLOCKS = {
    "residual": {},
    "residual_se": {"squeeze_excitation": True},
    "residual_pa": {"preactivated": True},
    "residual_se_pa": {"squeeze_excitation": True, "preactivated": True},
}
INTERPOLATIONS = {2: "bilinear", 3: "trilinear"}
MAX_POOLING: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


@dataclass(frozen=True)
class Stage:
    """One scale of a U-Net; sizes are one number an axis.

    Attributes
    ----------
    channels : int
    step : sizes
        By how much the stage is smaller than the one before; of the first, 1.
    kernel : sizes
        Of the convolution on the way in, and of that on the way out.
    block_kernel : sizes
        Of the residual blocks.
    """

    channels: int
    step: Sizes
    kernel: Sizes
    block_kernel: Sizes


class ResidualUNet(nn.Module):
    """Encoder and decoder of the given stages, full resolution first, with the state-dict keys of PyTorch Connectomics v1.

    Parameters
    ----------
    stages : sequence of Stage
    ends : sizes
        The kernel of the first and of the last convolution.
    block : str
        A key of :data:`BLOCKS`.
    pooling : bool
        Halve by max pooling instead of by strided convolutions.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stages: Sequence[Stage],
        ends: Sizes,
        block: str,
        *,
        pooling: bool,
        padding: Padding,
        norm: str,
        act: str,
    ) -> None:
        super().__init__()
        if block not in BLOCKS:
            raise NetworkError(f"there is no block {block!r}; there are {', '.join(BLOCKS)}")
        self.pooling = pooling
        how: dict[str, Any] = {"padding": padding, "norm": norm, "act": act}

        def one_block(stage: Stage) -> ResidualBlock:
            return ResidualBlock(stage.channels, stage.block_kernel, **how, **BLOCKS[block])

        first = stages[0].channels
        # The order of these four is that of the parameters in a PyTorch Connectomics optimizer state.
        self.conv_in = unit(in_channels, first, ends, **how)
        self.conv_out = nn.Sequential(convolution(first, out_channels, ends, padding=padding, bias=True))
        self.down_layers = nn.ModuleList()
        for i, stage in enumerate(stages):
            inputs = stages[max(i - 1, 0)].channels
            pool = MAX_POOLING[len(ends)](cast(Any, stage.step)) if pooling and i > 0 else nn.Identity()
            into = unit(inputs, stage.channels, stage.kernel, None if pooling else stage.step, **how)
            self.down_layers.append(nn.Sequential(pool, into, one_block(stage)))
        self.up_layers = nn.ModuleList()
        for stage, below in pairwise(stages):
            narrow = unit(below.channels, stage.channels, below.kernel, **how)
            self.up_layers.append(nn.ModuleList([narrow, one_block(stage)]))
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
        """``x`` interpolated to the size of ``other``."""
        size = other.shape[2:]
        return functional.interpolate(x, size=size, mode=INTERPOLATIONS[len(size)], align_corners=not self.pooling)


class NonLocal(nn.Module):
    """Each voxel plus what all voxels have, weighted by how alike two embeddings are (Wang et al. 2018,
    https://arxiv.org/abs/1711.07971, the embedded Gaussian).

    At first it changes nothing: the normalisation at its end starts with scale and shift 0.
    """

    def __init__(self, channels: int, norm: str, axes: int = 3) -> None:
        super().__init__()
        inner, one = channels // 2, CONVOLUTIONS[axes]
        self.g = one(channels, inner, 1)
        self.W = nn.Sequential(one(inner, channels, 1), normalisation(norm, channels, axes))
        self.theta = one(channels, inner, 1)
        self.phi = one(channels, inner, 1)

    def start_as_identity(self) -> None:
        last = self.W[1]
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (each(x).flatten(2).transpose(1, 2) for each in (self.theta, self.phi, self.g))
        mixed = functional.scaled_dot_product_attention(queries, keys, values, scale=1.0)
        return self.W(mixed.transpose(1, 2).unflatten(2, x.shape[2:])) + x


class DeepestEverywhere(ResidualUNet):
    """For a subclass of :class:`ResidualUNet` whose every decoder stage also sees the deepest features.

    A :class:`NonLocal` layer lies at the bottom; what it gives is also added, narrowed and interpolated, to what each decoder
    stage gets. The subclass calls :meth:`add_deepest` at the end of its constructor.
    """

    feat_layers: nn.ModuleList
    non_local: NonLocal

    def add_deepest(self, filters: Sequence[int], axes: int, *, padding: Padding, norm: str, act: str) -> None:
        """Make the layers, and initialise the whole network again.

        Raises
        ------
        NetworkError
            ``norm`` is none with parameters.
        """
        if norm in ("in", "none"):
            raise NetworkError(
                f"norm {norm!r} has no scale that could start at 0; a U-Net plus takes bn, sync_bn and gn"
            )
        # Padded as for a kernel of 3, so that the result is two voxels longer on each axis: so PyTorch Connectomics has it.
        self.feat_layers = nn.ModuleList(
            nn.Sequential(
                CONVOLUTIONS[axes](filters[-1], channels, 1, padding=1, padding_mode=padding, bias=False),
                normalisation(norm, channels, axes),
                activation(act),
            )
            for channels in filters[:-1]
        )
        self.non_local = NonLocal(filters[-1], norm, axes)
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
