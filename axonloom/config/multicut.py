"""A partition of the whole region graph."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field

from axonloom.config.settings import Settings


class MulticutSettings(Settings):
    """How a multicut weighs what speaks for and against merging. Used where merge.method is multicut."""

    beta: Decimal = Field(
        default=Decimal("0.2"),
        gt=0,
        lt=1,
        description="Boundary bias (between 0 and 1): the lower, the more is merged. Two pieces alone merge where their mean "
        "affinity is above about beta. The best one depends on the affinities: measured from 0.15 (where 0.1 merges far too "
        "much) to 0.6.",
    )
    weight: Literal["none", "root", "contacts"] = Field(
        default="root",
        description="How much a contact between two pieces counts: all the same, by the square root of its voxel pairs, or by "
        "their number. Measured best at the default beta: root.",
    )
