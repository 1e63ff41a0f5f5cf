"""Whether a process that left its name in a file still runs."""

from __future__ import annotations

import socket
import time

import psutil

#: A process on another machine that has written nothing for this long (seconds) is taken for gone.
SILENT_FOR = 600.0


def is_alive(host: str, pid: int, process_started: float, last_sign: float) -> bool:
    """Whether process ``pid`` of ``host`` lives.

    On this machine that is looked up; ``process_started`` (Unix time, 0: not known) tells it from a later one of the same
    number. On another one the last sign of life (Unix time) must be younger than :data:`SILENT_FOR`.
    """
    if host != socket.gethostname():
        return time.time() - last_sign < SILENT_FOR
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return not process_started or abs(process.create_time() - process_started) < 1.0
    except psutil.NoSuchProcess:
        return False
