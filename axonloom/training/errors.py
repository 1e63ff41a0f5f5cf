"""What can go wrong in a training that its user can mend."""

from __future__ import annotations


class TrainingError(ValueError):
    """Training that cannot begin or go on, said in one sentence: what, where, and what would work."""
