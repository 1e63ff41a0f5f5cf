"""A network from elsewhere: what its file does not say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from axonloom.config.settings import Settings

Offset = tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt]


class ModelSettings(Settings):
    """What the numbers of a TorchScript file (.pt) or an exported program (.pt2) mean. axonloom's own checkpoints say it themselves."""

    window: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        description="Voxels (z, y, x) that the network sees at once. It takes float32 (batch, 1, z, y, x)."
    )
    offsets: tuple[Offset, ...] = Field(
        default=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        description="One (z, y, x) a channel of its output, which is affinities: the value at v speaks of v and v - offset.",
    )
    activation: Literal["sigmoid", "tanh", "none"] = Field(
        default="sigmoid", description="What turns its output into 0..1; none where it does so itself."
    )
    mean: float = Field(default=127.5, description="Grey level that becomes 0 before the network sees it.")
    std: Annotated[float, Field(gt=0)] = Field(
        default=127.5, description="Grey levels that become 1: (grey level - mean) / std is what the network sees."
    )
