"""Encoders of five stages for pyramid networks, with the state-dict keys of PyTorch Connectomics v1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn

from axonloom.networks.layers import (
    NetworkError,
    Padding,
    ResidualBlock,
    unit,
)
from axonloom.networks.residual_unet import BLOCKS
from axonloom.networks.residual_unet_3d import cube

STAGES = 5


class Backbone3D(nn.Module):
    """Five stages ``layer0`` .. ``layer4``, full resolution first; called, it gives what each of them gives."""

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for k in range(STAGES):
            x = cast(nn.Module, getattr(self, f"layer{k}"))(x)
            found.append(x)
        return found


class ResNet3D(Backbone3D):
    """Residual blocks at each scale (He et al. 2016, https://arxiv.org/abs/1512.03385), as narrow as EM volumes allow.

    Parameters
    ----------
    blocks : sequence of int
        Residual blocks of the four stages below the first, which is one convolution.
    others : see :class:`axonloom.networks.residual_unet_3d.ResidualUNet3D`
        Here the blocks of isotropic stages convolve across sections.
    """

    def __init__(
        self,
        in_channels: int,
        filters: Sequence[int],
        blocks: Sequence[int],
        block: str,
        isotropy: Sequence[bool],
        *,
        padding: Padding,
        norm: str,
        act: str,
    ) -> None:
        super().__init__()
        if block not in BLOCKS:
            raise NetworkError(f"there is no block {block!r} of a resnet; there are {', '.join(BLOCKS)}")
        how: dict[str, Any] = {"padding": padding, "norm": norm, "act": act}
        self.layer0 = unit(in_channels, filters[0], cube(5, isotropy[0]), **how)
        for k, count in enumerate(blocks_a_stage(blocks, STAGES - 1), 1):
            first = ResidualBlock(
                filters[k],
                cube(3, isotropy[k]),
                inputs=filters[k - 1],
                stride=cube(2, isotropy[k]),
                **how,
                **BLOCKS[block],
            )
            rest = [ResidualBlock(filters[k], cube(3, isotropy[k]), **how, **BLOCKS[block]) for _ in range(count - 1)]
            setattr(self, f"layer{k}", nn.Sequential(first, *rest))


def blocks_a_stage(blocks: Sequence[int], stages: int) -> Sequence[int]:
    """``blocks``, which are one number a stage; else NetworkError."""
    if len(blocks) != stages or min(blocks) < 1:
        raise NetworkError(
            f"blocks are {stages} numbers of at least 1, one for each stage that has them, not {list(blocks)}"
        )
    return blocks
