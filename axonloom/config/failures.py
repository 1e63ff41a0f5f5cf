"""When a stage whose blocks fail is given up. Nothing here changes a byte of the result."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from axonloom.config.settings import Settings


class FailuresSettings(Settings):
    """Blocks that raise do not stop the others; a stage without hope ends early all the same."""

    max_failed_blocks: PositiveInt | None = Field(
        default=None,
        description="Blocks of a stage that may fail in one run; the stage ends when as many have. Default: any number.",
    )
    give_up_after: PositiveInt | None = Field(
        default=10,
        description="The stage ends when the first so many blocks of a batch, or of the run, all fail in one place in one "
        "way and none was finished: the next ones would, too. null: never.",
    )
