"""Where and how widely a job runs. Nothing here changes a byte of the result."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from axonloom.config.settings import Settings


class ComputeSettings(Settings):
    """Workers."""

    on: Literal["local", "dask"] = Field(
        default="local",
        description="local: threads of this process (the kernels release the interpreter lock). dask: processes of a "
        "Dask cluster on this machine.",
    )
    workers: PositiveInt = Field(default=2, description="Batches of blocks that run at once.")
    retries: int = Field(
        default=3,
        ge=0,
        le=20,
        description="Further tries of a batch after an error that may pass, such as a lost server.",
    )
