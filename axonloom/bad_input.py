"""The base of all errors that a user can mend."""

from __future__ import annotations


class BadInputError(ValueError):
    """What was wrong, where, and what would work, in one sentence. Anything else that is raised is a bug."""
