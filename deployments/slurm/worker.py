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
from prefect.client.schemas.objects import StateType
from prefect.exceptions import InfrastructureNotAvailable, InfrastructureNotFound, ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Crashed, Scheduled
from prefect.workers.base import BaseWorker, BaseWorkerResult

from deployments.slurm import commands
from deployments.slurm.commands import QueuedJob, SlurmError, SlurmUnreachableError
from deployments.slurm.configuration import SlurmConfiguration, SlurmVariables
from deployments.slurm.follower import Follower, Limits
from deployments.slurm.job_states import Meaning, meaning_of
from deployments.slurm.queue import NAME_PREFIX, Queue

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

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
        self._followed.add(flow_run.id)
        try:
            job_id = await self._job_for(flow_run, configuration)
            if task_status is not None:
                task_status.started(job_id)
            return await self._follow(flow_run, job_id, configuration)
        finally:
            self._followed.discard(flow_run.id)

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
                job = _living(await self._queue.of_run(flow_run.id))
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
        jobs: dict[UUID, list[QueuedJob]] = {}
        for job in await self._queue.jobs():
            run_id = _run_id(job)
            if run_id is not None:
                jobs.setdefault(run_id, []).append(job)
        others = [run_id for run_id, found in jobs.items() if run_id not in open_runs and _living(found) is not None]
        runs = list(open_runs.values()) + (await self._runs(ids=others) if others else [])
        for run in runs:
            if run.id not in self._followed and run.id not in self._submitting_flow_run_ids:
                await self._take_up(run, jobs.get(run.id, []))

    async def _take_up(self, run: FlowRun, jobs: list[QueuedJob]) -> None:
        job = _living(jobs) or (max(jobs, key=lambda found: int(found.id)) if jobs else None)
        job_id = job.id if job is not None else run.infrastructure_pid
        state = run.state
        living = job is not None and _living(jobs) is not None
        if not living and state is not None and state.is_pending():
            age = (datetime.datetime.now(datetime.UTC) - state.timestamp).total_seconds()
            if age < self.lost_after:
                return  # another worker may be submitting it at this moment
            if job_id is None or not await self._is_newer(job_id, state.timestamp):
                await self._schedule_again(run)
                return
        if job_id is None:
            await self._without_job(run)
            return
        assert self._runs_task_group is not None
        self._followed.add(run.id)
        self._runs_task_group.start_soon(self._follow_adopted, run, job_id)

    async def _follow_adopted(self, run: FlowRun, job_id: str) -> None:
        logger = self.get_flow_run_logger(run)
        holds = False
        try:
            if self._limiter is not None:
                try:
                    self._limiter.acquire_on_behalf_of_nowait(run.id)
                    holds = True
                except anyio.WouldBlock:
                    logger.debug("More jobs of earlier workers than this worker's limit: followed all the same.")
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
        except ObjectNotFound:
            self._logger.warning(
                "The deployment of flow run %s is gone: its SLURM job %s is not followed.", run.id, job_id
            )
        except (SlurmError, httpx.HTTPError) as error:
            logger.warning("SLURM job %s is not followed just now (%s); it is looked for again.", job_id, error)
        finally:
            if holds:
                self._release_limit_slot(run.id)
            self._followed.discard(run.id)

    async def _is_newer(self, job_id: str, moment: datetime.datetime) -> bool:
        """Whether a job was submitted after ``moment``: else it belongs to an earlier try of its run."""
        record = await commands.show_job(job_id)
        if record is None:
            return False
        try:
            submitted = datetime.datetime.fromisoformat(record.fields["SubmitTime"]).timestamp()
        except (KeyError, ValueError):
            return False
        return submitted > moment.timestamp() - 5.0

    async def _schedule_again(self, run: FlowRun) -> None:
        """A worker died between taking a run and submitting its job."""
        message = "The worker that took this run is gone, and SLURM has no job of it: it is scheduled anew."
        self.get_flow_run_logger(run).warning(message)
        if run.deployment_id is None:
            state = Crashed(message="The worker that took this run is gone, and SLURM has no job of it.")
        else:
            state = Scheduled(message=message)
        await self.client.set_flow_run_state(run.id, state, force=True)

    async def _without_job(self, run: FlowRun) -> None:
        """Open in Prefect's eyes, without a job, and no job was ever recorded."""
        if run.state is not None and run.state.is_cancelling():
            await self.client.set_flow_run_state(
                run.id, Cancelled(message="Cancelled: it had no SLURM job."), force=True
            )
        elif run.state is not None and run.state.is_running():
            message = "SLURM has no job of this run, and no worker follows it: it is taken for lost."
            await self.client.set_flow_run_state(run.id, Crashed(message=message))

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


def _living(jobs: list[QueuedJob]) -> QueuedJob | None:
    """The newest job that waits, runs or is just ending."""
    living = [job for job in jobs if meaning_of(job.state) not in (Meaning.COMPLETED, Meaning.FAILED)]
    return max(living, key=lambda job: int(job.id)) if living else None


def _run_id(job: QueuedJob) -> UUID | None:
    try:
        return UUID(job.name.removeprefix(NAME_PREFIX))
    except ValueError:
        return None
