"""When a task is tried again, and after how long."""

from __future__ import annotations

from typing import Any

import httpx
from prefect.tasks import exponential_backoff

from axonloom.transient import is_transient

#: Seconds before the first further try; each later one waits twice as long, with jitter.
FIRST_DELAY = 2
JITTER = 0.5


def delays(retries: int) -> list[float]:
    """Seconds to wait before each further try."""
    return exponential_backoff(FIRST_DELAY)(retries)


def may_pass(task: Any, run: Any, state: Any) -> bool:
    """Retry what may pass by itself; a real error was recorded and would come again.

    A server that does not answer (a slot for a GPU is asked of it) is nothing else than a file server that does not.
    """
    try:
        state.result()
    except Exception as error:
        return is_transient(error) or isinstance(error, httpx.TransportError)
    return False
