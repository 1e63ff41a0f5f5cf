"""One view of the queue for all runs that a worker follows: however many they are, ``squeue`` is asked once a while."""

from __future__ import annotations

import asyncio
import time

from blocks.slurm_answers import QueuedJob, SlurmUnreachableError
from deployments.slurm.commands import jobs_named

#: A job's name is this and the id of its flow run: what a worker that starts again knows its jobs by.
NAME_PREFIX = "axonloom-"


def job_name(flow_run_id: object) -> str:
    """The name of the job of a flow run, for its whole life."""
    return f"{NAME_PREFIX}{flow_run_id}"


class Queue:
    """The jobs of this user that carry flow runs.

    Those who ask at the same time share one answer, also a bad one: while the controller is away a single ``squeue`` may take half
    a minute to say so.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, QueuedJob] = {}
        self._asked_at = float("-inf")
        self._failed_at = float("-inf")
        self._failure = ""
        self._lock = asyncio.Lock()

    async def job(self, id: str, max_age: float) -> QueuedJob | None:
        """A job as it was at most ``max_age`` seconds ago; None when it is not in the list (any more).

        Raises SlurmUnreachableError while the controller does not answer.
        """
        await self._read(max_age)
        return self._jobs.get(id)

    async def jobs(self) -> list[QueuedJob]:
        """All of them, as they are now."""
        await self._read(0.0)
        return list(self._jobs.values())

    async def of_run(self, flow_run_id: object) -> list[QueuedJob]:
        """The jobs of one run as they are now, oldest first."""
        found = [job for job in await self.jobs() if job.name == job_name(flow_run_id)]
        return sorted(found, key=lambda job: int(job.id))

    async def _read(self, max_age: float) -> None:
        called = time.monotonic()
        async with self._lock:
            if self._asked_at >= called - max_age:
                return
            if self._failed_at > called:
                raise SlurmUnreachableError(self._failure)
            asked = time.monotonic()
            try:
                jobs = await jobs_named(NAME_PREFIX)
            except SlurmUnreachableError as error:
                self._failed_at, self._failure = time.monotonic(), str(error)
                raise
            self._jobs, self._asked_at = {job.id: job for job in jobs}, asked
