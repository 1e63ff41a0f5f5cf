"""The parts that networks are made of: a convolution with its normalisation and activation, and residual blocks.

A kernel of three numbers (z, y, x) makes a part of a 3-D network, one of two (y, x) a part of a network of single sections.

Order and nesting of the modules give the state-dict keys of PyTorch Connectomics v1 (Lin et al. 2021,
https://arxiv.org/abs/2112.05754), so that its checkpoints load without renaming.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from axonloom.bad_input import BadInputError

Padding = Literal["zeros", "replicate", "reflect", "circular"]
Sizes = tuple[int, ...]  # one number an axis: (z, y, x), or (y, x) within a section

# By the number of axes, as in PyTorch Connectomics.
CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
GROUPS = {2: 16, 3: 8}  # of GroupNorm
REDUCTION = {2: 16, 3: 4}  # of the channels in a squeeze-and-excitation

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "elu": lambda: nn.ELU(alpha=1.0, inplace=True),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "efficient_swish": nn.SiLU,
    "none": nn.Identity,
}


class NetworkError(BadInputError):
    """A network that cannot be built as asked, said in one sentence."""


def activation(name: str) -> nn.Module:
    """A new activation layer; ``name`` is a key of :data:`ACTIVATIONS`."""
    if name not in ACTIVATIONS:
        raise NetworkError(f"there is no activation {name!r}; there are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def normalisation(name: str, channels: int, axes: int = 3) -> nn.Module:
    """A new normalisation layer: ``bn``, ``sync_bn``, ``in`` (no parameters), ``gn``, ``none``.

    Parameters
    ----------
    axes : int
        3 for (n, channels, z, y, x), 2 for (n, channels, y, x).
    """
    if name == "bn":
        return {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[axes](channels, momentum=0.1)
    if name == "sync_bn":
        return nn.SyncBatchNorm(channels, momentum=0.1)
    if name == "in":
        return {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[axes](channels)
    if name == "gn":
        if channels % GROUPS[axes]:
            raise NetworkError(f"norm 'gn' needs filters that are multiples of {GROUPS[axes]}, not {channels}")
        return nn.GroupNorm(GROUPS[axes], channels)
    if name == "none":
        return nn.Identity()
    raise NetworkError(f"there is no norm {name!r}; there are bn, sync_bn, in, gn, none")


def convolution(
    inputs: int,
    outputs: int,
    kernel: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "replicate",
    bias: bool = False,
    groups: int = 1,
) -> nn.Conv2d | nn.Conv3d:
    """A convolution that keeps the size at stride 1 (the default): padded by half the kernel."""
    return CONVOLUTIONS[len(kernel)](
        inputs,
        outputs,
        cast(Any, kernel),
        stride=cast(Any, stride or (1,) * len(kernel)),
        padding=cast(Any, tuple(k // 2 for k in kernel)),
        padding_mode=padding,
        bias=bias,
        groups=groups,
    )


def unit(
    inputs: int,
    outputs: int,
    kernel: Sizes,
    stride: Sizes | None = None,
    *,
    padding: Padding,
    norm: str,
    act: str,
) -> nn.Sequential:
    """Convolution, normalisation, activation."""
    return nn.Sequential(
        convolution(inputs, outputs, kernel, stride, padding),
        normalisation(norm, outputs, len(kernel)),
        activation(act),
    )


def preactivated_unit(
    inputs: int, outputs: int, kernel: Sizes, stride: Sizes | None = None, *, padding: Padding, norm: str, act: str
) -> nn.Sequential:
    """Normalisation, activation, convolution (He et al. 2016, https://arxiv.org/abs/1603.05027)."""
    return nn.Sequential(
        normalisation(norm, inputs, len(kernel)),
        activation(act),
        convolution(inputs, outputs, kernel, stride, padding),
    )


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate computed from all channels' means (Hu et al. 2018, https://arxiv.org/abs/1709.01507)."""

    def __init__(self, channels: int, act: str, reduction: int = 4) -> None:
        super().__init__()
        if channels < reduction:
            raise NetworkError(f"a squeeze-and-excitation needs at least {reduction} filters here, not {channels}")
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            activation(act),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        places = tuple(range(2, x.dim()))
        gate = self.fc(x.mean(dim=places))
        return x * gate[(..., *(None for _ in places))]


class ResidualBlock(nn.Module):
    """Two convolutions beside an identity, or beside a projection where size or channels change.

    Parameters
    ----------
    channels : int
        Of the result.
    kernel : (z, y, x) or (y, x)
        In PyTorch Connectomics' 3-D U-Nets always (1, 3, 3).
    squeeze_excitation : bool
        Gate the sum's residual part by :class:`SqueezeExcitation`.
    preactivated : bool
        Normalise and activate before each convolution, and not after the sum.
    inputs : int, optional
        Channels of what comes in; default: as many.
    stride : as many, optional
        Of the first convolution and of the projection; default: 1.
    """

    def __init__(
        self,
        channels: int,
        kernel: Sizes = (1, 3, 3),
        *,
        padding: Padding,
        norm: str,
        act: str,
        squeeze_excitation: bool = False,
        preactivated: bool = False,
        inputs: int | None = None,
        stride: Sizes | None = None,
    ) -> None:
        super().__init__()
        axes = len(kernel)
        inputs = channels if inputs is None else inputs
        how: dict[str, Any] = {"padding": padding, "norm": norm}
        if preactivated:
            pair = [
                preactivated_unit(inputs, channels, kernel, stride, act=act, **how),
                preactivated_unit(channels, channels, kernel, act=act, **how),
            ]
        else:
            pair = [
                unit(inputs, channels, kernel, stride, act=act, **how),
                unit(channels, channels, kernel, act="none", **how),
            ]
        convolutions = nn.Sequential(*pair)
        self.conv = (
            nn.Sequential(convolutions, SqueezeExcitation(channels, act, REDUCTION[axes]))
            if squeeze_excitation
            else convolutions
        )
        one = (1,) * axes
        same = inputs == channels and stride in (None, one)
        # Without parameters, and so without a name in the state dict, as the activation.
        self.projector = nn.Identity() if same else unit(inputs, channels, one, stride, act="none", **how)
        self.act = nn.Identity() if preactivated else activation(act)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x) + self.projector(x))


def initialise(network: nn.Module) -> None:
    """Orthogonal weights for every convolution and linear layer; biases stay at torch's default."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose3d | nn.Linear):
            torch.nn.init.orthogonal_(module.weight)


def laid_out(network: nn.Module, layout: torch.memory_format) -> nn.Module:
    """The same network with the weights of its 3-D convolutions in that order in memory; those of sections stay as they are.

    ``network.to(memory_format=torch.channels_last_3d)`` fails where one of its tensors has four axes.
    """
    for value in (*network.parameters(), *network.buffers()):
        if value.dim() == 5:
            value.data = value.data.to(value.device, memory_format=layout)
    return network
