"""The Prefect worker of pools of type ``axonloom-slurm``: each flow run is one SLURM job.

A run's job is known by its name, which carries the run's id. So a worker that was killed finds its jobs again, and never submits
a second one for a run whose first is queued or running: after each start, and every heartbeat, it takes up what nobody follows.
Several workers may serve one pool (of one user on one cluster): what they conclude about a job is the same.
"""

from __future__ import annotations

import asyncio
import datetime
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

import anyio
import anyio.abc
import httpx
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import InfrastructureNotAvailable, InfrastructureNotFound, ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Crashed, Scheduled
from prefect.workers.base import BaseWorker, BaseWorkerResult

from blocks.slurm_answers import QueuedJob, SlurmError, SlurmUnreachableError
from deployments.slurm import commands
from deployments.slurm.configuration import SlurmConfiguration, SlurmVariables
from deployments.slurm.follower import Follower, Limits
from deployments.slurm.job_states import Meaning, meaning_of
from deployments.slurm.orphans import Action, decide, jobs_by_run, living_job, newest
from deployments.slurm.queue import NAME_PREFIX, Queue

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import WorkerFlowRunResponse

#: States of runs that a job may carry.
_OPEN = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_PAGE = 200


class SlurmResult(BaseWorkerResult):
    """The job id and its exit code."""


class SlurmWorker(BaseWorker[SlurmConfiguration, SlurmVariables, SlurmResult]):
    """Submits, follows, cancels and takes up again the jobs of one pool."""

    type = "axonloom-slurm"
    job_configuration = SlurmConfiguration
    job_configuration_variables = SlurmVariables

    _display_name = "SLURM (axonloom)"
    _description = "Runs each flow run as one SLURM job, by sbatch, squeue, scontrol and scancel; needs neither accounting nor REST."

    #: Seconds during which a submission is tried again while the controller is away.
    submit_limit = 1800.0
    #: Seconds after which a run that is Pending, but for which nothing was ever submitted, is scheduled anew.
    lost_after = 180.0
    limits = Limits()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._queue = Queue()
        self._followed: set[UUID] = set()
        self._looking = asyncio.Lock()

    # One run -----------------------------------------------------------------------------------------------------------------

    async def run(
        self,
        flow_run: FlowRun,
        configuration: SlurmConfiguration,
        task_status: anyio.abc.TaskStatus[Any] | None = None,
    ) -> SlurmResult:
        """Submit the job of a run, or take up the one it has, and follow it to its end."""
        with self._following(flow_run.id):
            job_id = await self._job_for(flow_run, configuration)
            if task_status is not None:
                task_status.started(job_id)
            return await self._follow(flow_run, job_id, configuration)

    async def kill_infrastructure(
        self, infrastructure_pid: str, configuration: SlurmConfiguration, grace_seconds: int = 30
    ) -> None:
        """scancel; SLURM itself waits between SIGTERM and SIGKILL (KillWait), so ``grace_seconds`` has no say."""
        try:
            record = await commands.show_job(infrastructure_pid)
            # The number may have gone to another job since.
            known = record is not None and record.name == configuration.job_name
            known = known and await commands.cancel(infrastructure_pid)
        except SlurmError as error:
            raise InfrastructureNotAvailable(f"SLURM job {infrastructure_pid} cannot be cancelled: {error}") from error
        if not known:
            raise InfrastructureNotFound(f"SLURM knows no job {infrastructure_pid}")

    async def _job_for(self, flow_run: FlowRun, configuration: SlurmConfiguration) -> str:
        """The id of the one job of this run."""
        logger = self.get_flow_run_logger(flow_run)
        give_up = time.monotonic() + self.submit_limit
        pause = 5.0
        while True:
            try:
                job = living_job(await self._queue.of_run(flow_run.id))
                if job is None:
                    job_id = await self._submit(flow_run, configuration)
                    logger.info("SLURM job %s was submitted; its log: %s", job_id, configuration.log_of(job_id))
                    return job_id
                if meaning_of(job.state) is not Meaning.ENDING:
                    logger.info(
                        "SLURM job %s of this run is %s already: no second one is submitted.", job.id, job.state.lower()
                    )
                    return job.id
                trouble = f"its earlier SLURM job {job.id} is still ending"
            except SlurmUnreachableError as error:
                trouble = str(error)
            if time.monotonic() + pause > give_up:
                raise SlurmUnreachableError(f"not submitted within {self.submit_limit:.0f} s: {trouble}")
            logger.warning("Not submitted yet (%s); next try in %.0f s.", trouble, pause)
            await anyio.sleep(pause)
            pause = min(60.0, pause * 1.5)

    async def _submit(self, flow_run: FlowRun, configuration: SlurmConfiguration) -> str:
        folder = configuration.logs
        folder.mkdir(parents=True, exist_ok=True)
        script = folder / f"{NAME_PREFIX}{flow_run.id}.sh"
        script.write_text(configuration.script())
        options, arguments, environment = (
            configuration.sbatch_options,
            configuration.arguments,
            configuration.environment(),
        )
        try:
            return await commands.submit(options, script, arguments, environment)
        finally:
            script.unlink(missing_ok=True)  # sbatch has taken a copy

    async def _follow(self, flow_run: FlowRun, job_id: str, configuration: SlurmConfiguration) -> SlurmResult:
        logger = self.get_flow_run_logger(flow_run)
        follower = Follower(flow_run.id, job_id, configuration, self.client, self._queue, logger, self.limits)
        return SlurmResult(identifier=job_id, status_code=await follower.follow())

    @contextmanager
    def _following(self, flow_run_id: UUID) -> Iterator[None]:
        self._followed.add(flow_run_id)
        try:
            yield
        finally:
            self._followed.discard(flow_run_id)

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        """What is due, without the runs whose earlier job has not been dealt with: a retry waits until that is over."""
        return [due for due in await super()._get_scheduled_flow_runs() if due.flow_run.id not in self._followed]

    # What nobody follows -----------------------------------------------------------------------------------------------------

    async def sync_with_backend(self) -> None:
        """As every worker; then look for jobs that are followed by nobody."""
        await super().sync_with_backend()
        if self._runs_task_group is not None and self._work_pool is not None and not self._looking.locked():
            self._runs_task_group.start_soon(self._look_for_jobs)

    async def _look_for_jobs(self) -> None:
        async with self._looking:
            try:
                await self.adopt()
            except (SlurmError, httpx.HTTPError) as error:
                self._logger.warning("Jobs of earlier workers cannot be looked for just now: %s", error)

    async def adopt(self) -> None:
        """Take up the jobs of this pool's runs that nobody here follows: those of a worker that is gone."""
        # The runs first: a run that is open now had its job before the queue is read.
        open_runs = {run.id: run for run in await self._runs(state=_OPEN)}
        jobs = jobs_by_run(await self._queue.jobs())
        others = [run_id for run_id, found in jobs.items() if run_id not in open_runs and living_job(found) is not None]
        for run in [*open_runs.values(), *(await self._runs(ids=others) if others else [])]:
            if run.id not in self._followed and run.id not in self._submitting_flow_run_ids and run.state is not None:
                await self._take_up(run, run.state, jobs.get(run.id, []))

    async def _take_up(self, run: FlowRun, state: State, jobs: list[QueuedJob]) -> None:
        last = newest(jobs)
        last_id = last.id if last is not None else run.infrastructure_pid
        record = await commands.show_job(last_id) if state.is_pending() and last_id is not None else None
        submitted = record.submitted if record is not None else None
        now = datetime.datetime.now(datetime.UTC)
        decision = decide(state, jobs, run.infrastructure_pid, submitted, now, self.lost_after)
        if decision.action is Action.FOLLOW:
            assert self._runs_task_group is not None
            assert decision.job_id is not None
            # Marked at once, so that the next look does not find it unfollowed.
            await self._runs_task_group.start(self._follow_adopted, run, decision.job_id)
        elif decision.action is Action.SCHEDULE and run.deployment_id is not None:
            message = "The worker that took this run is gone, and SLURM has no job of it: it is scheduled anew."
            self.get_flow_run_logger(run).warning(message)
            await self.client.set_flow_run_state(run.id, Scheduled(message=message), force=True)
        elif decision.action in (Action.SCHEDULE, Action.CRASH):
            message = "SLURM has no job of this run, and no worker follows it: it is taken for lost."
            await self.client.set_flow_run_state(run.id, Crashed(message=message), force=True)
        elif decision.action is Action.CANCEL:
            await self.client.set_flow_run_state(
                run.id, Cancelled(message="Cancelled: it had no SLURM job."), force=True
            )

    async def _follow_adopted(
        self, run: FlowRun, job_id: str, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        logger = self.get_flow_run_logger(run)
        with self._following(run.id), self._limit_slot(run.id):
            task_status.started()
            try:
                configuration = await self.job_configuration.resolve_for_flow_run(
                    run,
                    client=self.client,
                    work_pool=self.work_pool.model_copy(deep=True),
                    worker_name=self.name,
                    worker_id=self.backend_id,
                )
                logger.info("Worker '%s' follows SLURM job %s of an earlier worker.", self.name, job_id)
                if run.infrastructure_pid != job_id:
                    await self.client.update_flow_run(run.id, infrastructure_pid=job_id)
                await self._follow(run, job_id, configuration)
            except (SlurmError, httpx.HTTPError, ObjectNotFound, ValueError) as error:
                # ObjectNotFound: the deployment was deleted. ValueError: its settings are no longer valid.
                logger.warning("SLURM job %s is not followed just now (%s); it is looked for again.", job_id, error)

    @contextmanager
    def _limit_slot(self, run_id: UUID) -> Iterator[None]:
        """A place under the worker's --limit, if there is one; jobs that live already are followed in any case."""
        holds = False
        if self._limiter is not None:
            try:
                self._limiter.acquire_on_behalf_of_nowait(run_id)
                holds = True
            except anyio.WouldBlock:
                self._logger.debug("More jobs of earlier workers than this worker's limit.")
        try:
            yield
        finally:
            if holds:
                self._release_limit_slot(run_id)

    async def _runs(self, state: list[StateType] | None = None, ids: list[UUID] | None = None) -> list[FlowRun]:
        """This pool's runs in some states, or of some ids."""
        wanted = FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=state)) if state else None,
            id=FlowRunFilterId(any_=ids) if ids else None,
        )
        pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[self._work_pool_name]))
        found: list[FlowRun] = []
        while True:
            page = await self.client.read_flow_runs(
                flow_run_filter=wanted, work_pool_filter=pool, limit=_PAGE, offset=len(found)
            )
            found += page
            if len(page) < _PAGE:
                return found

    # At the start ------------------------------------------------------------------------------------------------------------

    async def setup(self) -> None:
        """As every worker, once it is sure that this is a machine to submit from.

        Raises
        ------
        SlurmError
            SLURM's commands are not installed here.
        """
        missing = [name for name in ("sbatch", "squeue", "scontrol", "scancel") if shutil.which(name) is None]
        if missing:
            raise SlurmError(
                f"no {', '.join(missing)} on this machine: start the worker where jobs are submitted (a login node)"
            )
        url = PREFECT_API_URL.value() or ""
        if urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1"):
            self._logger.warning(
                "PREFECT_API_URL is %s: jobs on other machines cannot reach a server by that address. "
                "Start the server with --host 0.0.0.0 and set PREFECT_API_URL to this machine's name.",
                url,
            )
        await super().setup()
