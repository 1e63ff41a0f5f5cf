"""Thresholds on affinities as exact numbers.

A threshold is a decimal fraction of 1, and stored affinities are integers of 0..255; the two are compared as fractions, so
that no rounding of a float decides which edge counts.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import ceil

from axonloom.bad_input import BadInputError

FULL_SCALE = 255
"""The stored affinity that means 1."""

Threshold = Decimal | Fraction | str | float


class ThresholdError(BadInputError):
    """A threshold that cannot be used, said in one sentence."""


def threshold_fraction(threshold: Threshold) -> Fraction:
    """A threshold of 0..1 as an exact fraction; a float counts as the decimal number that it prints as (0.1 is 1/10).

    Raises
    ------
    ThresholdError
        Not a number, or outside 0..1.
    """
    try:
        exact = threshold if isinstance(threshold, Fraction) else Fraction(Decimal(str(threshold)))
    except (InvalidOperation, ValueError, OverflowError):
        raise ThresholdError(f"a threshold is a decimal number of 0 to 1, not {threshold!r}") from None
    if not 0 <= exact <= 1:
        raise ThresholdError(f"a threshold lies between 0 and 1, not at {threshold}")
    return exact


def threshold_to_uint8(threshold: Threshold) -> int:
    """The smallest stored affinity ``a`` of 0..255 with ``a / 255 >= threshold``, without float arithmetic."""
    return ceil(threshold_fraction(threshold) * FULL_SCALE)
