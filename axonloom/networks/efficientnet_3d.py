"""The EfficientNet encoder of PyTorch Connectomics v1 (``MODEL.BACKBONE: efficientnet``): same state-dict keys, same outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional

from axonloom.networks.backbones_3d import STAGES, Backbone3D, blocks_a_stage
from axonloom.networks.layers import (
    NetworkError,
    Padding,
    Sizes,
    SqueezeExcitation,
    activation,
    convolution,
    normalisation,
    unit,
)
from axonloom.networks.residual_unet_3d import cube

REDUCTION = 8  # of the channels in its squeeze-and-excitation, which has relu whatever the network's activation is


class SeparableBlock(nn.Module):
    """A 1 x 1 x 1 convolution, one that treats each channel apart, and another 1 x 1 x 1, beside an identity or a projection.

    An inverted residual block (Sandler et al. 2018, https://arxiv.org/abs/1801.04381) that does not widen its channels, with
    squeeze-and-excitation as in EfficientNet (Tan & Le 2019, https://arxiv.org/abs/1905.11946). The projection averages
    where the other branch strides.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: Sizes, stride: Sizes, *, padding: Padding, norm: str, act: str
    ) -> None:
        super().__init__()
        self.layers1 = nn.Sequential(
            convolution(inputs, inputs, (1, 1, 1)),
            normalisation(norm, inputs),
            activation(act),
            convolution(inputs, inputs, kernel, stride, padding, groups=inputs),
            normalisation(norm, inputs),
            activation(act),
        )
        self.layers2 = nn.Sequential(convolution(inputs, outputs, (1, 1, 1)), normalisation(norm, outputs))
        self.attention = SqueezeExcitation(inputs, "relu", REDUCTION)
        self.stride = stride
        self.projector: nn.Module = nn.Identity()
        if stride != (1, 1, 1) or inputs != outputs:
            self.projector = unit(inputs, outputs, (1, 1, 1), padding="zeros", norm=norm, act="none")
        if stride != (1, 1, 1):
            self.projector = nn.Sequential(nn.AvgPool3d(cast(Any, stride), cast(Any, stride)), self.projector)

    def forward(self, x: Tensor) -> Tensor:
        found = self.layers2(self.attention(self.layers1(x)))
        # An odd size 2n + 1 becomes n + 1 by a strided convolution; the average gives as many of one voxel more on each side.
        odd = [int(step > 1 and size % 2 == 1) for step, size in zip(self.stride, x.shape[2:], strict=True)]
        if any(odd):
            x = functional.pad(x, [n for n in reversed(odd) for _ in range(2)], mode="replicate")
        return found + self.projector(x)


class EfficientNet3D(Backbone3D):
    """Separable convolutions with squeeze-and-excitation at each scale.

    Parameters
    ----------
    block : str
        ``inverted_res``.
    blocks : sequence of int
        Of the five stages, or of the four below the first, which then has one.
    kernel_sizes : sequence of int
        3 or 5, one a stage.
    attention : str
        ``squeeze_excitation``.
    others : see :class:`axonloom.networks.backbones_3d.ResNet3D`
        The fourth stage never halves z.
    """

    def __init__(
        self,
        in_channels: int,
        filters: Sequence[int],
        blocks: Sequence[int],
        block: str,
        isotropy: Sequence[bool],
        *,
        kernel_sizes: Sequence[int] = (3, 3, 5, 3, 3),
        attention: str = "squeeze_excitation",
        padding: Padding,
        norm: str,
        act: str,
    ) -> None:
        super().__init__()
        if block != "inverted_res":
            raise NetworkError(f"there is no block {block!r} of an efficientnet; there is inverted_res")
        if attention != "squeeze_excitation":
            raise NetworkError(f"there is no attention {attention!r} of an efficientnet; there is squeeze_excitation")
        if len(kernel_sizes) != STAGES or not set(kernel_sizes) <= {3, 5}:
            raise NetworkError(f"kernel_sizes are {STAGES} numbers that are 3 or 5, not {list(kernel_sizes)}")
        how: dict[str, Any] = {"padding": padding, "norm": norm, "act": act}
        counts = blocks_a_stage([1, *blocks] if len(blocks) == STAGES - 1 else blocks, STAGES)
        self.conv1 = convolution(in_channels, filters[0], (3, 3, 3), padding=padding)
        self.bn1 = normalisation(norm, filters[0])
        self.relu = activation(act)
        for k, count in enumerate(counts):
            kernel = cube(kernel_sizes[k], isotropy[k])
            step = (1, 1, 1) if k == 0 else cube(2, isotropy[k] and k != 3)
            first = SeparableBlock(filters[max(k - 1, 0)], filters[k], kernel, step, **how)
            rest = [SeparableBlock(filters[k], filters[k], kernel, (1, 1, 1), **how) for _ in range(count - 1)]
            setattr(self, f"layer{k}", nn.Sequential(first, *rest))

    def forward(self, x: Tensor) -> list[Tensor]:
        return super().forward(self.relu(self.bn1(self.conv1(x))))
