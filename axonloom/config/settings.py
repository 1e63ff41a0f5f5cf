"""The base of all configuration models: closed, documented, immutable."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A section of the configuration. Unknown keys are errors; values do not change after they were checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
