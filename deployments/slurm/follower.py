"""One job followed to its end, and what its flow run is told."""

from __future__ import annotations

import asyncio
import datetime
import time
from dataclasses import dataclass
from logging import Logger, LoggerAdapter
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed, Pending

from blocks.slurm_answers import QueuedJob, SlurmError, SlurmUnreachableError
from deployments.slurm import commands
from deployments.slurm.commands import JobRecord
from deployments.slurm.configuration import SlurmConfiguration
from deployments.slurm.job_states import Meaning, cause_of, meaning_of
from deployments.slurm.log_tail import log_tail
from deployments.slurm.queue import Queue, job_name


@dataclass(frozen=True)
class Limits:
    """How long, in seconds, before something else is done."""

    #: A run may report its end this much later than its job.
    report: float = 20.0
    #: A job whose run has ended may clean up this long before it is taken out of the queue.
    linger: float = 600.0
    #: SLURM or the Prefect server may be away this long; then the job is let go and taken up again by a later look.
    silence: float = 3600.0


class Follower:
    """Follows job ``job_id`` of run ``flow_run_id``; ``follow()`` returns its exit code once job and run have both ended."""

    def __init__(
        self,
        flow_run_id: UUID,
        job_id: str,
        configuration: SlurmConfiguration,
        client: PrefectClient,
        queue: Queue,
        logger: Logger | LoggerAdapter[Any],
        limits: Limits,
    ) -> None:
        self.flow_run_id = flow_run_id
        self.job_id = job_id
        self.configuration = configuration
        self.client = client
        self.queue = queue
        self.logger = logger
        self.limits = limits
        self._told: tuple[Meaning, str] | None = None
        self._ran = False
        self._waits_since: float | None = None
        self._final_since: float | None = None
        self._taken_out: str | None = None
        self._heard = time.monotonic()

    async def follow(self) -> int:
        """0 when the run needs nothing more, else the job's exit code (1 where SLURM knows none)."""
        while True:
            try:
                ended = await self._look()
                self._heard = time.monotonic()
            except (SlurmUnreachableError, httpx.HTTPError) as error:
                # Either may be away for a while; the job goes on.
                if time.monotonic() - self._heard > self.limits.silence:
                    raise
                self.logger.debug("SLURM job %s cannot be watched just now: %s", self.job_id, error)
                ended = None
            if ended is not None:
                return ended
            await asyncio.sleep(self.configuration.poll_seconds)

    async def _look(self) -> int | None:
        state = await self._run_state()
        job = await self.queue.job(self.job_id, max_age=self.configuration.poll_seconds / 2)
        if job is not None and job.name != job_name(self.flow_run_id):
            job = None  # the number belongs to another job by now
        meaning = meaning_of(job.state) if job is not None else None
        if job is None or meaning in (Meaning.COMPLETED, Meaning.FAILED):
            return await self._at_end()
        self._tell(job)
        if self._taken_out is not None:
            await self._take_out(self._taken_out)
        elif state is None:
            await self._take_out("its flow run was deleted")
        elif state.is_cancelling():
            await self._take_out("its flow run is being cancelled")
        elif meaning is Meaning.WAITING:
            await self._while_waiting(job, state)
        elif meaning is Meaning.RUNNING:
            self._ran, self._waits_since = True, None
            await self._while_running(state)
        return None

    async def _while_waiting(self, job: QueuedJob, state: State) -> None:
        if state.is_final() and not state.is_crashed():
            await self._take_out(f"its flow run is {state.name} already")
            return
        if (state.is_crashed() or state.is_running()) and await self._is_requeued():
            # None of it runs, so "Running" is not true, and "Crashed" came from the signal that ended its first try.
            await self.client.set_flow_run_state(
                self.flow_run_id,
                Pending(message=f"SLURM job {self.job_id} was put back into the queue; it resumes when it starts."),
                force=True,
            )
        if self._waits_since is None:
            self._waits_since = await self._waiting_since()
        if time.time() - self._waits_since > self.configuration.queue_limit_hours * 3600:
            await self._set_crashed(
                f"SLURM job {self.job_id} waited in the queue longer than {self.configuration.queue_limit_hours:g} h "
                f"(last reason: {job.reason}) and was taken out of it."
            )
            await self._take_out("it waited too long")

    async def _while_running(self, state: State) -> None:
        if not state.is_final() or state.is_crashed():
            # A Crashed run whose job lives is left alone: it may be the verdict of an automation that heard nothing for a while.
            self._final_since = None
            return
        if state.is_cancelled():
            await self._take_out("its flow run is cancelled")
        elif self._final_since is None:
            self._final_since = time.monotonic()
        elif time.monotonic() - self._final_since > self.limits.linger:
            await self._take_out(
                f"its flow run is {state.name} since {self.limits.linger:.0f} s, and the job still lives"
            )

    async def _at_end(self) -> int | None:
        """The exit code, once the end is certain; None when the job lives after all."""
        record = await commands.show_job(self.job_id)
        if record is not None and record.name != job_name(self.flow_run_id):
            record = None
        if record is None:
            return await self._forgotten()
        meaning = meaning_of(record.state)
        if meaning is Meaning.FAILED:
            # A job on its way back into the queue shows its end for a moment.
            await asyncio.sleep(min(2.0, self.configuration.poll_seconds))
            again = await commands.show_job(self.job_id)
            meaning = meaning_of(again.state) if again is not None else meaning
        if meaning is Meaning.COMPLETED:
            return await self._completed(record)
        if meaning is Meaning.FAILED:
            return await self._failed(record)
        return None

    async def _completed(self, record: JobRecord) -> int:
        state = await self._reported_state()
        if state is None or state.is_final() or state.is_scheduled() or state.is_paused():
            return 0
        if await self._is_of_a_later_try(state, record):
            return 0
        if state.is_cancelling():
            await self._set_cancelled()
            return 0
        self._show_log(record)
        await self._set_crashed(f"SLURM job {self.job_id} ended with exit code 0, but its run never reported an end.")
        return 1

    async def _failed(self, record: JobRecord) -> int:
        state = await self._run_state()
        code = record.exit_code
        if state is None or await self._is_of_a_later_try(state, record):
            return 0
        if state.is_cancelled() or await self._was_cancelling(state):
            await self._set_cancelled()
            return 0
        cause = cause_of(record.state, record.fields, log_tail(self._log(record)))
        if not (state.is_running() or state.is_pending() or state.is_crashed()):
            # It said itself how it went, or somebody has retried it already.
            self.logger.info("SLURM job %s has ended: %s.", self.job_id, cause)
            return code if state.is_failed() else 0
        self._show_log(record)
        await self._set_crashed(f"SLURM job {self.job_id} ended: {cause}.")
        return code

    async def _forgotten(self) -> int:
        """SLURM knows nothing about the job (MinJobAge passed, or it lost its state): only the run itself can say how it went."""
        state = await self._reported_state()
        if state is None or state.is_final() or state.is_scheduled() or state.is_paused():
            return 0
        if await self._is_of_a_later_try(state, None):
            return 0
        if state.is_cancelling():
            await self._set_cancelled()
            return 0
        self._show_log(None)
        await self._set_crashed(
            f"SLURM no longer knows job {self.job_id}, and its run never reported an end: it is taken for lost."
        )
        return 1

    async def _is_requeued(self) -> bool:
        # Asked now, after the run's state was read: the list of the queue may be older than the state.
        record = await commands.show_job(self.job_id)
        return record is not None and record.restarts > 0 and meaning_of(record.state) is Meaning.WAITING

    async def _is_of_a_later_try(self, state: State, record: JobRecord | None) -> bool:
        """Whether another worker has taken the retried run before this job's end was dealt with: then the state is not this job's."""
        recorded = (await self.client.read_flow_run(self.flow_run_id)).infrastructure_pid or ""
        if recorded.isdigit() and int(recorded) > int(self.job_id):
            return True
        if any(int(job.id) > int(self.job_id) for job in await self.queue.of_run(self.flow_run_id)):
            return True
        # Taken by another worker, and not submitted yet. One second: two machines' clocks.
        ended = record.ended if record is not None else None
        return state.is_pending() and ended is not None and state.timestamp > ended + datetime.timedelta(seconds=1)

    async def _take_out(self, why: str) -> None:
        """scancel; again at every look, until the job is gone."""
        if self._taken_out is None:
            self.logger.info("SLURM job %s is cancelled with scancel: %s.", self.job_id, why)
            self._taken_out = why
        try:
            await commands.cancel(self.job_id)
        except SlurmUnreachableError:
            raise
        except SlurmError as error:
            self.logger.warning("SLURM job %s could not be cancelled: %s", self.job_id, error)

    def _tell(self, job: QueuedJob) -> None:
        meaning = meaning_of(job.state)
        if (meaning, job.reason) == self._told:
            return
        if meaning is Meaning.WAITING:
            again = "again " if self._ran else ""
            self.logger.info(
                "SLURM job %s waits %sin the queue (%s).", self.job_id, again, job.reason or "no reason given"
            )
        elif meaning is Meaning.RUNNING:
            self.logger.info("SLURM job %s is %s on %s.", self.job_id, job.state.lower(), job.reason)
        self._told = (meaning, job.reason)

    def _show_log(self, record: JobRecord | None) -> None:
        path = self._log(record)
        tail = log_tail(path)
        if tail:
            self.logger.error("The end of the log of SLURM job %s (%s):\n%s", self.job_id, path, tail)
        else:
            self.logger.error("SLURM job %s left no log at %s.", self.job_id, path)

    def _log(self, record: JobRecord | None) -> Path:
        # SLURM's own word is second choice: it does not tell what became of a "%" in the folder's name.
        path = self.configuration.log_of(self.job_id)
        if path.exists() or record is None or record.log is None:
            return path
        return record.log

    async def _waiting_since(self) -> float:
        """Seconds since 1970, from SLURM, so that a worker that starts again does not begin to count anew."""
        record = await commands.show_job(self.job_id)
        return record.submitted.timestamp() if record is not None and record.submitted is not None else time.time()

    async def _run_state(self) -> State | None:
        """The run's state; None when the run has been deleted."""
        try:
            return (await self.client.read_flow_run(self.flow_run_id)).state or Pending()
        except ObjectNotFound:
            return None

    async def _was_cancelling(self, state: State) -> bool:
        """The signal of scancel makes Prefect's engine report a crash: the state before says that a person wanted it so."""
        if state.is_cancelling() or not state.is_crashed():
            return state.is_cancelling()
        history = await self.client.read_flow_run_states(self.flow_run_id)
        before = [earlier for earlier in history if not earlier.is_crashed()]
        return bool(before) and max(before, key=lambda earlier: earlier.timestamp).is_cancelling()

    async def _reported_state(self) -> State | None:
        """The state once the run has had time to report its end."""
        give_up = time.monotonic() + self.limits.report
        while True:
            state = await self._run_state()
            if state is None or not (state.is_running() or state.is_pending()) or time.monotonic() > give_up:
                return state
            await asyncio.sleep(1.0)

    async def _set_crashed(self, message: str) -> None:
        state = await self._run_state()
        if state is None or not (state.is_running() or state.is_pending() or state.is_crashed()):
            return
        self.logger.error(message)
        # By force: a run that the job's SIGTERM made Crashed is so for a reason that it could not know.
        await self.client.set_flow_run_state(self.flow_run_id, Crashed(message=message), force=True)

    async def _set_cancelled(self) -> None:
        state = await self._run_state()
        if state is not None and not state.is_cancelled():
            message = f"Cancelled: SLURM job {self.job_id} was ended with scancel."
            await self.client.set_flow_run_state(self.flow_run_id, Cancelled(message=message), force=True)
