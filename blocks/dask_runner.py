"""Prefect's Dask task runner, with futures that keep what they got: a worker that leaves takes no result with it."""

from __future__ import annotations

import concurrent.futures
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

import distributed
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.futures import PrefectConcurrentFuture
from prefect.states import Crashed
from prefect_dask import DaskTaskRunner

logger = logging.getLogger("axonloom.compute")

#: Seconds that fetching a finished batch's small result may take.
FETCHING = 60.0
#: Times that it is tried.
TRIES = 10


class LocalCopy(concurrent.futures.Future[State[Any]]):
    """The result of a Dask future, copied here as soon as it is there; Dask then forgets its own.

    A result that stays on its worker is lost with it, and the batch would run again.
    """

    def __init__(self, remote: distributed.Future, task_run: UUID) -> None:
        super().__init__()
        self._remote, self._task_run, self._tries = remote, task_run, 0
        remote.add_done_callback(self._fetch)

    def cancel(self) -> bool:
        """Take it from the queue; a batch that runs ends with its worker."""
        if self.done():
            return self.cancelled()
        super().cancel()
        # Nobody else would: those who wait for cancelled futures wait for this.
        self.set_running_or_notify_cancel()
        self._remote.cancel()
        return True

    def _fetch(self, remote: distributed.Future) -> None:
        if self.cancelled() or remote.cancelled():
            return
        try:
            state = remote.result(timeout=FETCHING)
        except OSError as error:
            # A worker that goes while its result is on the way: Dask has the batch run again, which finds its blocks done.
            self._tries += 1
            if not self.cancelled() and self._tries < TRIES:
                remote.add_done_callback(self._fetch)
                return
            state = self._lost(error)
        except Exception as error:
            state = self._lost(error)
        if not self.cancelled():
            self.set_result(state)
        remote.release()

    def _lost(self, error: Exception) -> State[Any]:
        """The workers were lost with the batch, again and again; which blocks are done is in the ledger."""
        if self.cancelled():
            return Crashed()
        logger.warning("a batch was lost: %s", error)
        return _mark_crashed(self._task_run, f"its workers were lost: {error}")


class BatchFuture(PrefectConcurrentFuture[Any]):
    """A future that says when no workers will come."""

    def __init__(self, task_run_id: UUID, copy: LocalCopy, require_workers: Callable[[], None]) -> None:
        super().__init__(task_run_id, copy)
        self._require_workers = require_workers

    def wait(self, timeout: float | None = None) -> None:
        super().wait(timeout)
        if self._final_state is None:
            self._require_workers()


class BatchRunner(DaskTaskRunner):
    """A Dask cluster for batches.

    ``require_workers`` raises when the cluster will never have workers; futures ask it while they wait.
    """

    def __init__(self, *, require_workers: Callable[[], None] = lambda: None, **options: Any) -> None:
        super().__init__(**options)
        self.require_workers = require_workers

    def submit(self, task: Any, parameters: Any, wait_for: Any = None, dependencies: Any = None) -> Any:
        future = super().submit(task, parameters, wait_for, dependencies)
        return BatchFuture(
            future.task_run_id, LocalCopy(future.wrapped_future, future.task_run_id), self.require_workers
        )

    def duplicate(self) -> BatchRunner:
        raise NotImplementedError("a batch runner belongs to the flow that started it")


def _mark_crashed(task_run: UUID, message: str) -> State[Any]:
    state = Crashed(message=message)
    try:
        with get_client(sync_client=True) as client:
            client.set_task_run_state(task_run, state, force=True)
    except Exception as error:
        # Only the display suffers: it goes on showing the run as Running.
        logger.warning("could not mark task run %s as crashed: %s", task_run, error)
    return state
