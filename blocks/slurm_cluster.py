"""A Dask cluster whose workers are SLURM jobs of one profile: as many as there is work for, replaced when they are lost.

dask-jobqueue brings scheduler and jobs together. What it leaves open is here: jobs that end before their workers arrived, that
are cancelled while they wait, or that hold several workers are noticed by looking at the queue, and replaced; a submission that
is refused ends the flow with SLURM's words instead of waiting for ever; options go to sbatch as arguments; and no job outlives
the flow, whatever ends it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import shlex
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dask
import psutil
from distributed.deploy.adaptive import Adaptive
from distributed.deploy.spec import SpecCluster
from prefect.settings import PREFECT_API_URL

from axonloom.config.compute import JobProfile, NetworkSettings
from blocks import slurm
from blocks.jobqueue import SLURMCluster
from blocks.kept_jobs import KeptJobs
from blocks.slurm_answers import SlurmError
from blocks.worker_job import WorkerJob

logger = logging.getLogger("axonloom.compute")

#: Seconds between two looks at the work, and at the queue.
INTERVAL, QUEUE_INTERVAL = 2.0, 5.0
#: Seconds for which jobs stay without work: the next stage may need them.
IDLE = 30.0
#: Seconds in which a running job's workers must arrive, and without any after which a job that had some counts as lost.
ARRIVAL, SILENCE = 300.0, 20.0
#: Time without a heartbeat after which a worker counts as dead (its node lost power: nothing closed the connection).
HEARTBEAT = "120s"
#: So many times in a row all jobs that ended had never had a worker: the next ones will not either.
HOPELESS_ROUNDS = 3


class WorkersError(SlurmError):
    """No workers will come: the sentence says why."""


class Trouble:
    """What keeps a cluster from ever having workers; shared between the loop that finds it and the flow that must know."""

    def __init__(self) -> None:
        self.sentence: str | None = None

    def require_none(self) -> None:
        """Raise WorkersError when there is some."""
        if self.sentence is not None:
            raise WorkersError(self.sentence)


class JobCluster(SLURMCluster):
    """The cluster. Use it as a context manager; leaving it cancels all of its jobs."""

    job_cls = WorkerJob

    def __init__(
        self, *, profile: JobProfile, network: NetworkSettings, label: str, folder: Path, trouble: Trouble
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.profile, self.trouble, self.folder = profile, trouble, folder
        self._hopeless_rounds = 0
        self._warned = False
        self._kept = KeptJobs()
        self._token = f"axonloom-{label}-{uuid.uuid4().hex[:6]}"
        # Workers on other machines need an address of this one; the certificates keep everybody else out.
        scheduler: dict[str, Any] = {"dashboard": False, "dashboard_address": "127.0.0.1:0", "allowed_failures": 5}
        if network.host is not None:
            scheduler["host"] = network.host
        try:
            with dask.config.set({"distributed.scheduler.worker-ttl": HEARTBEAT}):
                super().__init__(
                    scheduler_options=scheduler,
                    interface=network.interface,
                    security=True if network.encrypted else None,
                    shared_temp_directory=str(folder),
                    name=self._token,
                    profile=profile,
                    logs=folder,
                    kept=self._kept,
                )
        except BaseException:
            self._kept.close()
            raise

    def _new_worker_name(self, worker_number: int) -> str:
        return f"{self._token}-{worker_number}"

    def _update_worker_status(self, op: str, msg: Any) -> None:
        # SpecCluster would forget a job as soon as its worker is silent, and never one that holds several workers. Looking at
        # the queue decides here.
        super(SpecCluster, self)._update_worker_status(op, msg)

    async def look_after_jobs(self) -> None:
        """Forget the jobs that are gone, so that others can take their place."""
        now = time.monotonic()
        for name, job in self.workers.items():
            if self._workers_of(name):
                if not job.arrived:
                    self._warn_of_loopback(name)
                job.arrived, job.last_seen = True, now
                self._hopeless_rounds = 0
        submitted = {name: job for name, job in self.workers.items() if job.job_id is not None}
        queue = await asyncio.to_thread(slurm.queue) if submitted else None
        if queue is None:
            return
        stillborn = []
        for name, job in submitted.items():
            queued = queue.get(job.job_id)
            if queued is not None and queued.state in slurm.WAITING:
                # It may have run before, on a node that died: what it ran there is lost, and it will run again.
                await self._drop_workers(name)
                job.arrived, job.last_seen = False, now
                if queued.reason in slurm.HOPELESS:
                    self.trouble.sentence = f"SLURM will never start job {job.job_id} ({name}): {queued.reason}"
            elif queued is None or now - job.last_seen > (SILENCE if job.arrived else ARRIVAL):
                logger.info("job %s (%s) is gone; another takes its place if there is work", job.job_id, name)
                if not job.arrived:
                    stillborn.append(job)
                await self._drop_workers(name)
                self.worker_spec.pop(name, None)
                self.workers.pop(name, None)
                await job.close()
        if stillborn:
            self._hopeless_rounds += 1
            if self._hopeless_rounds >= HOPELESS_ROUNDS:
                self.trouble.sentence = _why_hopeless(stillborn[-1])

    def _cancel_all(self) -> None:
        """Everything of this cluster: also a job whose submission SLURM never answered."""
        try:
            queue = slurm.queue() or {}
            named = [job.id for job in queue.values() if job.name.startswith(f"{self._token}-")]
            slurm.cancel({*self._kept.jobs, *named})
        except SlurmError as error:
            logger.warning("jobs could not be cancelled: %s", error)

    def _workers_of(self, name: str) -> list[Any]:
        """The scheduler's records of a job's workers: named as the job, or as it with a number."""
        workers = self.scheduler.workers.values()
        return [w for w in workers if str(w.name) == name or str(w.name).rpartition("-")[0] == name]

    async def _drop_workers(self, name: str) -> None:
        """Workers of a job that does not run any more: the scheduler may not have noticed."""
        for worker in self._workers_of(name):
            await self.scheduler.remove_worker(
                worker.address, stimulus_id=f"job-gone-{time.time()}", expected=True, close=False
            )

    def _warn_of_loopback(self, name: str) -> None:
        api = PREFECT_API_URL.value() or ""
        here = {address.address for found in psutil.net_if_addrs().values() for address in found}
        elsewhere = [worker.host for worker in self._workers_of(name) if worker.host not in here]
        if elsewhere and not self._warned and _is_loopback(urlsplit(api).hostname or ""):
            self._warned = True
            logger.warning(
                "workers on %s cannot reach the Prefect server at %s: their task runs will not show; start the server on an "
                "address of the cluster's network, and set PREFECT_API_URL to it", elsewhere[0], api,
            )  # fmt: skip

    def work(self) -> int:
        """Tasks that wait or run."""
        scheduler = self.scheduler
        return (
            len(scheduler.queued)
            + len(scheduler.unrunnable)
            + sum(len(state.processing) for state in scheduler.workers.values())
        )

    def idle_jobs(self) -> list[str]:
        """Names of the jobs that run nothing: first those that still wait for a place."""
        idle = [name for name in self.worker_spec if not any(w.processing for w in self._workers_of(name))]
        return sorted(idle, key=lambda name: bool(getattr(self.workers.get(name), "arrived", False)))

    async def open_jobs(self, count: int) -> None:
        """Submit so many more jobs; a refusal becomes the cluster's trouble."""
        for _ in range(count):
            self.worker_spec.update(self.new_worker_spec())
        try:
            await self._correct_state()
        except SlurmError as error:
            self.trouble.sentence = str(error)
            for name in [name for name, job in self.workers.items() if job.job_id is None]:
                self.workers.pop(name)
                self.worker_spec.pop(name, None)

    async def _close(self) -> None:
        try:
            await super()._close()
        finally:
            # Whatever went wrong above, nothing stays in the queue.
            await asyncio.to_thread(self._cancel_all)
            self._kept.close()
            for kind in ("key", "cert", "ca_file"):
                file = getattr(self, f"_job_{kind}", None)
                if file is not None:
                    file.close()  # and gone: it is a temporary one


class JobAdaptive(Adaptive):
    """As many jobs as the tasks that wait and run can fill, up to ``maximum`` workers; idle jobs go after a while.

    Dask's own rule asks how long the tasks will take; a batch is long enough for a worker of its own.
    """

    cluster: JobCluster

    def __init__(self, cluster: JobCluster, **options: Any) -> None:
        self._next_look = 0.0
        self._idle_since: float | None = None
        super().__init__(cluster, interval=INTERVAL, **options)

    async def adapt(self) -> None:
        if self._adapting or self.cluster.trouble.sentence is not None:
            return
        self._adapting = True
        try:
            if time.monotonic() >= self._next_look:
                await self.cluster.look_after_jobs()
                self._next_look = time.monotonic() + QUEUE_INTERVAL
            per_job = self.cluster.profile.workers_per_job
            wanted = -(-int(min(self.maximum, self.cluster.work())) // per_job)
            present = len(self.cluster.worker_spec)
            if wanted > present:
                await self.cluster.open_jobs(wanted - present)
            await self._let_go(present - wanted)
        finally:
            self._adapting = False

    async def _let_go(self, spare: int) -> None:
        idle = self.cluster.idle_jobs() if spare > 0 else []
        if not idle:
            self._idle_since = None
            return
        now = time.monotonic()
        if self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since > IDLE:
            await self.cluster.scale_down(idle[:spare])
            self._idle_since = None


def _why_hopeless(job: WorkerJob) -> str:
    end = slurm.end_of(job.log)
    told = f"; the end of {job.log}:\n{end}" if end else f" and left no output in {job.log}"
    return (
        f"{HOPELESS_ROUNDS} times in a row SLURM jobs ended before their workers arrived ({shlex.quote(str(job.name))} was the "
        f"last){told}\n`axonloom compute check` finds out what is wrong with the profile"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
