"""GPU slots: how many batches may use GPUs at once, over all runs of a server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound

from axonloom.runner import StoppedError
from tasks.stopping import stop_requested

#: Name of the global concurrency limit; `axonloom deploy` makes it, and its number can be changed in the browser.
LIMIT = "axonloom-gpu"
#: Seconds to wait for a slot before looking whether the work should stop.
PATIENCE = 20.0


@contextmanager
def gpu_slot(device: str, limit: str = LIMIT) -> Iterator[None]:
    """Hold a slot for the time of a ``with`` block that computes on ``device`` (``cuda`` or ``cpu``).

    No slot is needed on a CPU, on a server that has no such limit, and in a Slurm job, whose GPU Slurm has counted. A slot
    whose holder was killed comes free by itself after five minutes.

    Raises
    ------
    StoppedError
        The process was asked to stop while it waited.
    """
    if device != "cuda" or "SLURM_JOB_ID" in os.environ or not _exists(limit):
        yield
        return
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(concurrency(limit, occupy=1, timeout_seconds=PATIENCE))
                break
            except TimeoutError:
                if stop_requested():
                    raise StoppedError("stopped while waiting for a GPU; run again to go on") from None
        yield


def _exists(limit: str) -> bool:
    with get_client(sync_client=True) as client:
        try:
            client.read_global_concurrency_limit_by_name(limit)
        except ObjectNotFound:
            return False
    return True
