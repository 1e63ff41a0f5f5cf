"""One SLURM job of Dask workers: what it is submitted with, and what runs in it."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from pathlib import Path
from typing import Any

from distributed.core import Status
from distributed.deploy.spec import ProcessInterface

from axonloom.config.compute import JobProfile
from blocks import slurm
from blocks.jobqueue import SLURMJob
from blocks.kept_jobs import KeptJobs
from blocks.slurm_answers import SlurmError, SlurmUnreachableError
from blocks.worker_life import LEAVE_AT, STAGGER

logger = logging.getLogger("axonloom.compute")

#: Seconds in which a worker whose flow is gone, or not to be found, ends itself.
DEATH_TIMEOUT = 60
#: Tries of a submission that SLURM was too busy for.
SUBMISSIONS = 6


class WorkerJob(SLURMJob):
    """One job: ``profile.workers_per_job`` Dask workers in processes of their own."""

    def __init__(
        self,
        scheduler: str | None = None,
        name: str | None = None,
        *,
        profile: JobProfile,
        logs: Path,
        kept: KeptJobs,
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
        self.last_seen = time.monotonic()
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
            except SlurmError as error:
                self.status = Status.failed
                if not isinstance(error, SlurmUnreachableError) or attempt == SUBMISSIONS - 1:
                    raise
                await asyncio.sleep(5.0 * (attempt + 1))
                # An answer that was lost on the way does not mean that the job was.
                self.job_id = await asyncio.to_thread(_in_queue, str(self.name))
                if self.job_id is not None:
                    break
        self.kept.add(self.job_id)
        self.last_seen = time.monotonic()
        logger.info("submitted job %s (%s)", self.job_id, self.name)
        await ProcessInterface.start(self)

    async def close(self) -> None:
        if self.job_id is not None:
            await asyncio.to_thread(slurm.cancel, [self.job_id])
            self.kept.remove(self.job_id)
        await ProcessInterface.close(self)


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


def _in_queue(name: str) -> str | None:
    return next((job.id for job in (slurm.queue() or {}).values() if job.name == name), None)
