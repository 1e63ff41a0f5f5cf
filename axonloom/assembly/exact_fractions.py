"""Fractions of 64-bit integers compared without error.

A mean affinity is sum / count. The product of one edge's sum with another's count passes 64 bits from about 3e8 contacts on,
so fractions are compared by quotient and remainder (Euclid), which never leaves 64 bits.
"""

from __future__ import annotations

import numpy as np

from axonloom.kernel import kernel


@kernel
def compare(a, b, c, d):
    """The sign of a/b - c/d: -1, 0 or 1 (non-negative int64 numerators, positive int64 denominators)."""
    sign = 1
    while True:
        p, q = a // b, c // d
        if p != q:
            return sign if p > q else -sign
        a, c = a - p * b, c - q * d
        if a == 0 or c == 0:
            if a == c:
                return 0
            return sign if a > 0 else -sign
        a, b, c, d = b, a, d, c
        sign = -sign


EXACT_BITS = 54
"""Two fractions whose denominators' product is at most 2**54 differ in :func:`leading_bits` unless they are equal."""


@kernel
def leading_bits(a, b):
    """floor(a / b * 2**54) for a / b of at most 255: the first 62 bits of the score, as int64."""
    whole = a // b
    rest = a - whole * b
    if b < np.int64(1) << 36:
        for _ in range(2):
            rest <<= 27
            digit = rest // b
            whole = whole << 27 | digit
            rest -= digit * b
    else:
        for _ in range(54):
            rest <<= 1
            whole <<= 1
            if rest >= b:
                rest -= b
                whole |= 1
    return whole
