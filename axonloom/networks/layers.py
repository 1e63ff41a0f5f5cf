"""The parts that 3-D networks are made of: a convolution with its normalisation and activation, and residual blocks.

Order and nesting of the modules give the state-dict keys of PyTorch Connectomics v1 (Lin et al. 2021,
https://arxiv.org/abs/2112.05754), so that its checkpoints load without renaming.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from axonloom.bad_input import BadInputError
from axonloom.geometry import Zyx

Padding = Literal["zeros", "replicate", "reflect", "circular"]
GROUPS = 8  # of GroupNorm, as in PyTorch Connectomics' 3-D networks

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


def normalisation(name: str, channels: int) -> nn.Module:
    """A new normalisation layer for (n, channels, z, y, x): ``bn``, ``sync_bn``, ``in`` (no parameters), ``gn``, ``none``."""
    if name == "bn":
        return nn.BatchNorm3d(channels, momentum=0.1)
    if name == "sync_bn":
        return nn.SyncBatchNorm(channels, momentum=0.1)
    if name == "in":
        return nn.InstanceNorm3d(channels)
    if name == "gn":
        if channels % GROUPS:
            raise NetworkError(f"norm 'gn' needs filters that are multiples of {GROUPS}, not {channels}")
        return nn.GroupNorm(GROUPS, channels)
    if name == "none":
        return nn.Identity()
    raise NetworkError(f"there is no norm {name!r}; there are bn, sync_bn, in, gn, none")


def convolution(
    inputs: int, outputs: int, kernel: Zyx, stride: Zyx = (1, 1, 1), padding: Padding = "replicate", bias: bool = False
) -> nn.Conv3d:
    """A convolution that keeps the size at stride 1: padded by half the kernel."""
    half = cast(Zyx, tuple(k // 2 for k in kernel))
    return nn.Conv3d(inputs, outputs, kernel, stride=stride, padding=half, padding_mode=padding, bias=bias)


def unit(
    inputs: int,
    outputs: int,
    kernel: Zyx,
    stride: Zyx = (1, 1, 1),
    *,
    padding: Padding,
    norm: str,
    act: str,
) -> nn.Sequential:
    """Convolution, normalisation, activation."""
    return nn.Sequential(
        convolution(inputs, outputs, kernel, stride, padding), normalisation(norm, outputs), activation(act)
    )


def preactivated_unit(
    inputs: int, outputs: int, kernel: Zyx, stride: Zyx = (1, 1, 1), *, padding: Padding, norm: str, act: str
) -> nn.Sequential:
    """Normalisation, activation, convolution (He et al. 2016, https://arxiv.org/abs/1603.05027)."""
    return nn.Sequential(
        normalisation(norm, inputs), activation(act), convolution(inputs, outputs, kernel, stride, padding)
    )


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate computed from all channels' means (Hu et al. 2018, https://arxiv.org/abs/1709.01507)."""

    def __init__(self, channels: int, act: str, reduction: int = 4) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            activation(act),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc(x.mean(dim=(2, 3, 4)))
        return x * gate[:, :, None, None, None]


class ResidualBlock(nn.Module):
    """Two convolutions beside an identity, or beside a projection where size or channels change.

    Parameters
    ----------
    channels : int
        Of the result.
    kernel : (z, y, x)
        In PyTorch Connectomics' U-Nets always (1, 3, 3).
    squeeze_excitation : bool
        Gate the sum's residual part by :class:`SqueezeExcitation`.
    preactivated : bool
        Normalise and activate before each convolution, and not after the sum.
    inputs : int, optional
        Channels of what comes in; default: as many.
    stride : (z, y, x)
        Of the first convolution and of the projection.
    """

    def __init__(
        self,
        channels: int,
        kernel: Zyx = (1, 3, 3),
        *,
        padding: Padding,
        norm: str,
        act: str,
        squeeze_excitation: bool = False,
        preactivated: bool = False,
        inputs: int | None = None,
        stride: Zyx = (1, 1, 1),
    ) -> None:
        super().__init__()
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
            nn.Sequential(convolutions, SqueezeExcitation(channels, act)) if squeeze_excitation else convolutions
        )
        same = inputs == channels and stride == (1, 1, 1)
        # Without parameters, and so without a name in the state dict, as the activation.
        self.projector = nn.Identity() if same else unit(inputs, channels, (1, 1, 1), stride, act="none", **how)
        self.act = nn.Identity() if preactivated else activation(act)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(x) + self.projector(x))


def initialise(network: nn.Module) -> None:
    """Orthogonal weights for every convolution and linear layer; biases stay at torch's default."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d | nn.Linear):
            torch.nn.init.orthogonal_(module.weight)
