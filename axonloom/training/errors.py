"""What can go wrong in a training that its user can mend."""

from __future__ import annotations

from axonloom.bad_input import BadInputError


class TrainingError(BadInputError):
    """Training that cannot begin or go on, said in one sentence: what, where, and what would work."""
