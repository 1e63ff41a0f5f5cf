"""A Dask cluster whose workers are SLURM jobs of one profile: as many as there is work for, replaced when they are lost.

dask-jobqueue brings scheduler and jobs together. What it leaves open is here: jobs that end before their workers arrived, that
are cancelled while they wait, or that hold several workers are noticed by looking at the queue, and replaced; a submission that
is refused ends the flow with SLURM's words instead of waiting for ever; options go to sbatch as arguments; and no job outlives
the flow, whatever ends it.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from distributed.core import Status
from distributed.deploy.adaptive import Adaptive
from distributed.deploy.spec import ProcessInterface, SpecCluster

from axonloom.config.compute import JobProfile, NetworkSettings
from blocks import reaper, slurm
from blocks.jobqueue import SLURMCluster, SLURMJob
from blocks.worker_life import LEAVE_AT, STAGGER

logger = logging.getLogger("axonloom.compute")

#: Seconds between two looks at the work, and at the queue.
INTERVAL, QUEUE_INTERVAL = 2.0, 5.0
#: Seconds for which jobs stay without work: the next stage may need them.
IDLE = 30.0
#: Seconds in which a worker whose flow is gone ends itself, and in which a running job's workers must arrive.
DEATH_TIMEOUT, ARRIVAL = 60, 300.0
#: Seconds without any worker after which a job that had some counts as lost.
SILENCE = 20.0
#: So many times in a row all jobs that ended had never had a worker: the next ones will not either.
HOPELESS_ROUNDS = 3
#: Tries of a submission that SLURM was too busy for.
SUBMISSIONS = 6


class WorkersError(slurm.SlurmError):
    """No workers will come: the sentence says why."""


class Trouble:
    """What keeps a cluster from ever having workers; shared between the loop that finds it and the flow that must know."""

    def __init__(self) -> None:
        self.sentence: str | None = None

    def require_none(self) -> None:
        """Raise WorkersError when there is some."""
        if self.sentence is not None:
            raise WorkersError(self.sentence)


class WorkerJob(SLURMJob):
    """One job: ``profile.workers_per_job`` Dask workers in processes of their own."""

    def __init__(
        self,
        scheduler: str | None = None,
        name: str | None = None,
        *,
        profile: JobProfile,
        logs: Path,
        kept: _Kept,
        security: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            scheduler,
            name,
            cores=profile.cores,
            memory=f"{slurm.megabytes_of(profile.memory)}MiB",
            processes=profile.workers_per_job,
            security=security,
            **options,
        )
        self.profile, self.logs, self.kept = profile, logs, kept
        self.arrived = False
        self.submitted_at = self.last_seen = time.monotonic()
        self.command = _worker_command(scheduler or "", str(name), profile, security, options.get("interface"))

    def job_script(self) -> str:
        """The script that sbatch gets; dask-jobqueue's own is not quoted."""
        profile = self.profile
        threads = str(profile.threads)
        exports = {
            # Threads of torch would otherwise spin while they wait, and take the cores from other workers.
            "OMP_WAIT_POLICY": "PASSIVE",
            **{f"{n}_NUM_THREADS": threads for n in ("OMP", "MKL", "OPENBLAS", "NUMBA")},
            # Task logs reach the server; here they would only fill the job's output.
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR",
            STAGGER: str(0.1 * profile.leaving_seconds),
        }
        script = slurm.script_of(profile, self.command, exports)
        first, rest = script.split("\n", 1)
        return f"{first}\nexport {LEAVE_AT}=$(($(date +%s) + {int(profile.leaving_seconds)}))\n{rest}"

    @property
    def log(self) -> Path:
        return self.logs / f"{self.name}-{self.job_id}.log"

    async def start(self) -> None:
        """Submit; a refusal is the cluster's trouble.

        Raises
        ------
        SlurmError
            SLURM refused, or stayed too busy.
        """
        # A name's % would mean something to sbatch.
        log = Path(str(self.logs).replace("%", "%%")) / f"{self.name}-%j.log"
        options = slurm.options_of(self.profile, str(self.name), log)
        for attempt in range(SUBMISSIONS):
            try:
                self.job_id = await asyncio.to_thread(slurm.submit, options, self.job_script())
                break
            except slurm.SlurmError as error:
                self.status = Status.failed
                if not error.may_pass or attempt == SUBMISSIONS - 1:
                    raise
                await asyncio.sleep(5.0 * (attempt + 1))
        self.kept.add(self.job_id)
        self.submitted_at = self.last_seen = time.monotonic()
        logger.info("submitted job %s (%s)", self.job_id, self.name)
        await ProcessInterface.start(self)

    async def close(self) -> None:
        if self.job_id is not None:
            await asyncio.to_thread(slurm.cancel, [self.job_id])
            self.kept.remove(self.job_id)
        await ProcessInterface.close(self)


class JobCluster(SLURMCluster):
    """The cluster. Use it as a context manager; leaving it cancels all of its jobs."""

    job_cls = WorkerJob

    def __init__(
        self, *, profile: JobProfile, network: NetworkSettings, label: str, folder: Path, trouble: Trouble
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.profile, self.trouble, self.folder = profile, trouble, folder
        self._hopeless_rounds = 0
        self._kept = _Kept()
        self._token = f"axonloom-{label}-{uuid.uuid4().hex[:6]}"
        # Workers on other machines need an address of this one; the certificates keep everybody else out.
        scheduler: dict[str, Any] = {"dashboard": False, "dashboard_address": "127.0.0.1:0", "allowed_failures": 5}
        if network.host is not None:
            scheduler["host"] = network.host
        try:
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
        connected = {str(state.name) for state in self.scheduler.workers.values()}
        for name, job in self.workers.items():
            if any(worker == name or worker.rpartition("-")[0] == name for worker in connected):
                job.arrived, job.last_seen = True, now
                self._hopeless_rounds = 0
        submitted = {name: job for name, job in self.workers.items() if job.job_id is not None}
        if not submitted:
            return
        queue = await asyncio.to_thread(slurm.queue)
        if queue is None:
            return
        stillborn = []
        for name, job in submitted.items():
            queued = queue.get(job.job_id)
            silent = now - job.last_seen > (SILENCE if job.arrived else ARRIVAL)
            if queued is not None and queued.state in ("PENDING", "CONFIGURING", "REQUEUED"):
                job.last_seen = now
                if queued.reason in slurm.HOPELESS:
                    self.trouble.sentence = f"SLURM will never start job {job.job_id} ({name}): {queued.reason}"
                continue
            if queued is not None and not silent:
                continue
            logger.warning("job %s (%s) is gone; another takes its place if there is work", job.job_id, name)
            if not job.arrived:
                stillborn.append(job)
            self.worker_spec.pop(name, None)
            self.workers.pop(name, None)
            await job.close()
        if stillborn:
            self._hopeless_rounds += 1
            if self._hopeless_rounds >= HOPELESS_ROUNDS:
                self.trouble.sentence = _why_hopeless(stillborn[-1])

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
        busy = {str(state.name) for state in self.scheduler.workers.values() if state.processing}
        idle = [n for n in self.worker_spec if not any(w == n or w.rpartition("-")[0] == n for w in busy)]
        return sorted(idle, key=lambda name: bool(getattr(self.workers.get(name), "arrived", False)))

    async def open_jobs(self, count: int) -> None:
        """Submit so many more jobs; a refusal becomes the cluster's trouble."""
        for _ in range(count):
            self.worker_spec.update(self.new_worker_spec())
        try:
            await self._correct_state()
        except slurm.SlurmError as error:
            self.trouble.sentence = str(error)
            for name in [name for name, job in self.workers.items() if job.job_id is None]:
                self.workers.pop(name)
                self.worker_spec.pop(name, None)

    async def _close(self) -> None:
        try:
            await super()._close()
        finally:
            # Whatever went wrong above, nothing stays in the queue.
            await asyncio.to_thread(slurm.cancel, list(self._kept.jobs))
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


class _Kept:
    """The jobs that must not outlive this process: told to a process that does, and cancels them then."""

    def __init__(self) -> None:
        self.jobs: dict[str, None] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(reaper.__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            # Ctrl+C in the terminal is not for it.
            start_new_session=True,
        )

    def add(self, job: str) -> None:
        self.jobs[job] = None
        self._tell(job)

    def remove(self, job: str) -> None:
        self.jobs.pop(job, None)
        self._tell(f"-{job}")

    def close(self) -> None:
        """Let it cancel what is left, and end."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                logger.warning("the process that cancels jobs left behind was gone before its time")
        self._process.wait(timeout=slurm.PATIENCE)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            logger.warning("the process that cancels jobs left behind is gone; after kill -9 they end by themselves")


def _worker_command(scheduler: str, name: str, profile: JobProfile, security: Any, interface: str | None) -> list[str]:
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--name", name, "--nthreads", "1"]
    command += ["--nworkers", str(profile.workers_per_job), "--nanny", "--no-dashboard"]
    # SLURM watches the memory; Dask would spill and stop workers at shares of it.
    command += ["--memory-limit", "0", "--death-timeout", str(DEATH_TIMEOUT), "--preload", "blocks.worker_life"]
    if interface is not None:
        command += ["--interface", interface]
    if security is not None:
        command += ["--protocol", "tls://"]
        for key, value in security.get_tls_config_for_role("worker").items():
            if key != "ciphers" and value is not None:
                command += [f"--tls-{key.replace('_', '-')}", str(value)]
    return command


def _why_hopeless(job: WorkerJob) -> str:
    end = slurm.end_of(job.log)
    told = f"; the end of {job.log}:\n{end}" if end else f" and left no output in {job.log}"
    return (
        f"{HOPELESS_ROUNDS} times in a row SLURM jobs ended before their workers arrived ({shlex.quote(str(job.name))} was the "
        f"last){told}\n`axonloom compute check` finds out what is wrong with the profile"
    )
