"""What to do about a run of the pool that no worker follows: decided from its state and its jobs alone."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from prefect.client.schemas.objects import State

from blocks.slurm_answers import QueuedJob
from deployments.slurm.job_states import Meaning, meaning_of
from deployments.slurm.queue import NAME_PREFIX


class Action(Enum):
    """What a worker does about it."""

    LEAVE = "another worker may be about to submit it"
    FOLLOW = "it has a job, or had one: follow that to its end"
    SCHEDULE = "no job was ever submitted for this try: schedule it anew"
    CRASH = "it says that it runs, and there is no job"
    CANCEL = "it is being cancelled, and there is no job"


@dataclass(frozen=True)
class Decision:
    """The action, and the job to follow."""

    action: Action
    job_id: str | None = None


def decide(
    state: State,
    jobs: list[QueuedJob],
    recorded_job: str | None,
    submitted: datetime.datetime | None,
    now: datetime.datetime,
    lost_after: float,
) -> Decision:
    """What to do about a run in ``state`` with ``jobs`` in the queue's list.

    ``recorded_job`` is the id that Prefect has; ``submitted`` is when the run's newest job was submitted, None when SLURM does
    not know; ``lost_after`` is in seconds.
    """
    job = living_job(jobs)
    if job is not None:
        return Decision(Action.FOLLOW, job.id)
    ended = newest(jobs)
    job_id = ended.id if ended is not None else recorded_job
    if state.is_pending():
        if (now - state.timestamp).total_seconds() < lost_after:
            return Decision(Action.LEAVE)
        # A job from before this try says nothing about it. Five seconds: two machines' clocks.
        if job_id is None or submitted is None or submitted < state.timestamp - datetime.timedelta(seconds=5):
            return Decision(Action.SCHEDULE)
    if job_id is not None:
        return Decision(Action.FOLLOW, job_id)
    if state.is_cancelling():
        return Decision(Action.CANCEL)
    return Decision(Action.CRASH) if state.is_running() else Decision(Action.LEAVE)


def jobs_by_run(jobs: Iterable[QueuedJob]) -> dict[UUID, list[QueuedJob]]:
    """The jobs of each flow run; others are left out."""
    found: dict[UUID, list[QueuedJob]] = {}
    for job in jobs:
        try:
            run_id = UUID(job.name.removeprefix(NAME_PREFIX))
        except ValueError:
            continue
        found.setdefault(run_id, []).append(job)
    return found


def living_job(jobs: Iterable[QueuedJob]) -> QueuedJob | None:
    """The newest job that waits, runs or is just ending."""
    return newest([job for job in jobs if meaning_of(job.state) not in (Meaning.COMPLETED, Meaning.FAILED)])


def newest(jobs: Iterable[QueuedJob]) -> QueuedJob | None:
    """The job that was submitted last."""
    return max(jobs, key=lambda job: int(job.id), default=None)
