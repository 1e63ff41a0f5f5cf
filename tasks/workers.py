"""The workers of a flow: started when first needed, shared by its stages, gone when it ends."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from axonloom.config.compute import ComputeSettings
from blocks.compute import Compute


class Workers:
    """Task runners for batches, as a context manager.

    A Dask cluster takes seconds to start, so the stages of a flow share one. A stage with a single open batch gains nothing
    from a cluster and runs on a thread of the flow's own process.
    """

    def __init__(self, settings: ComputeSettings) -> None:
        self.settings = settings
        self._stack = ExitStack()
        self._runner: TaskRunner[Any] | None = None

    def runner_for(self, batches: int) -> TaskRunner[Any]:
        """A started runner for this many batches."""
        if batches == 1 and self.settings.on != "local":
            return self._stack.enter_context(ThreadPoolTaskRunner(max_workers=1))
        if self._runner is None:
            self._runner = self._stack.enter_context(Compute(settings=self.settings).task_runner())
        return self._runner

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
