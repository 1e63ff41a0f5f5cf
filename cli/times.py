"""Durations for people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """``41 s``, ``12 min``, ``3 h 05 min``, ``2 days 4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h"
