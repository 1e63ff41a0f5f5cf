"""Asking the work of this process to stop between two blocks.

A signal concerns the whole process, so this is the one piece of process-wide state: worker threads ask before each block, and
whoever handles the signal (the command line, or a flow that is being torn down) sets it.
"""

from __future__ import annotations

import threading

_REQUESTED = threading.Event()


def request_stop() -> None:
    """Let the blocks that are running finish, and start no more."""
    _REQUESTED.set()


def stop_requested() -> bool:
    return _REQUESTED.is_set()


def clear_stop() -> None:
    """Work may start again in this process."""
    _REQUESTED.clear()
