"""One view of the queue for all runs that a worker follows: however many they are, ``squeue`` is asked once a while."""

from __future__ import annotations

import asyncio
import time

from deployments.slurm.commands import QueuedJob, jobs_named

#: A job's name is this and the id of its flow run: what a worker that starts again knows its jobs by.
NAME_PREFIX = "axonloom-"


def job_name(flow_run_id: object) -> str:
    """The name of the job of a flow run, for its whole life."""
    return f"{NAME_PREFIX}{flow_run_id}"


class Queue:
    """The jobs of this user that carry flow runs."""

    def __init__(self) -> None:
        self._jobs: dict[str, QueuedJob] = {}
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def job(self, id: str, max_age: float) -> QueuedJob | None:
        """A job as it was at most ``max_age`` seconds ago; None when it is not in the list (any more).

        Raises SlurmUnreachableError while the controller does not answer.
        """
        async with self._lock:
            if time.monotonic() - self._read_at > max_age:
                await self._read()
        return self._jobs.get(id)

    async def jobs(self) -> list[QueuedJob]:
        """All of them, as they are now."""
        async with self._lock:
            await self._read()
        return list(self._jobs.values())

    async def of_run(self, flow_run_id: object) -> list[QueuedJob]:
        """The jobs of one run as they are now, oldest first."""
        found = [job for job in await self.jobs() if job.name == job_name(flow_run_id)]
        return sorted(found, key=lambda job: int(job.id))

    async def _read(self) -> None:
        self._jobs = {job.id: job for job in await jobs_named(NAME_PREFIX)}
        self._read_at = time.monotonic()
