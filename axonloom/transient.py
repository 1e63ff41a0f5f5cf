"""Which errors may pass by themselves, and which will come again."""

from __future__ import annotations

import errno

# A full disk is not here: waiting a minute does not mend it, and the run should stop and say so.
TRANSIENT_ERRNOS = frozenset(
    {
        errno.EIO,
        errno.EAGAIN,
        errno.EINTR,
        errno.ESTALE,  # an NFS server that came back
        errno.ETIMEDOUT,
        errno.ECONNRESET,
        errno.ECONNREFUSED,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.EREMOTEIO,
    }
)
TRANSIENT_TYPES: tuple[type[BaseException], ...] = (ConnectionError, TimeoutError)


def is_transient(error: BaseException) -> bool:
    """Whether trying again later may help."""
    if isinstance(error, TRANSIENT_TYPES):
        return True
    return isinstance(error, OSError) and error.errno in TRANSIENT_ERRNOS


def is_full_disk(error: BaseException | None) -> bool:
    """Whether the cause is a disk or a quota that is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False
