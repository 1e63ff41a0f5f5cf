"""Where batches of blocks run."""

from __future__ import annotations

from typing import Any

from prefect.blocks.core import Block
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import Field

from axonloom.config.compute import ComputeSettings


class Compute(Block):
    """A place to run batches of blocks: threads of the flow's process, or a Dask cluster on its machine."""

    _block_type_name = "Axonloom Compute"
    _block_type_slug = "axonloom-compute"
    _description = "Where axonloom runs batches of blocks, and how many at once."

    settings: ComputeSettings = Field(default=ComputeSettings(), description="Kind and number of workers.")

    def task_runner(self) -> TaskRunner[Any]:
        """A Prefect task runner for this place; enter it to start the workers."""
        if self.settings.on == "local":
            return ThreadPoolTaskRunner(max_workers=self.settings.workers)
        # Only here: dask takes a second to import, and most runs on one machine do without it.
        from prefect_dask import DaskTaskRunner

        return DaskTaskRunner(
            cluster_kwargs={
                "n_workers": self.settings.workers,
                "threads_per_worker": 1,
                "processes": True,
                "dashboard_address": None,
                "host": "127.0.0.1",
                # Task logs reach the server; on the terminal they would tear the progress bars.
                "env": {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR"},
            }
        )
