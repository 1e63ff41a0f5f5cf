"""A network that no preset describes."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from axonloom.config.settings import Settings


class NetworkSettings(Settings):
    """An architecture and what it is built with; channels in and out are added from the data and targets."""

    architecture: str = Field(description="Such as residual_unet_3d; another package may register more.")
    parameters: dict[str, Any] = Field(
        default={},
        description="Of the architecture, such as {filters: [16, 32, 64], isotropy: [false, true, true], norm: gn}.",
    )
