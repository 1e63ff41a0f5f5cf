"""What a pool of type ``axonloom-slurm`` offers in its form, and what the worker makes of it for one flow run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.settings import PREFECT_HOME
from prefect.workers.base import BaseJobConfiguration, BaseVariables
from pydantic import BaseModel, Field

from deployments.slurm.queue import job_name
from deployments.slurm.script import Resources, batch_script, escaped, job_environment, job_options, split_command

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.schemas.objects import Flow, FlowRun, WorkPool
    from prefect.client.schemas.responses import DeploymentResponse


class Handling(BaseModel):
    """How a job is made and watched."""

    setup: list[str] = Field(
        default_factory=list,
        title="Set-up lines",
        description="Lines of shell to run on the node before the flow, e.g. module load cuda, one a line.",
    )
    working_dir: str | None = Field(
        default=None, title="Working directory", description="Where the job starts; the worker's own folder if empty."
    )
    log_folder: str | None = Field(
        default=None,
        title="Log folder",
        description="Where the jobs' logs go; the nodes and the worker must both see it. Prefect's home (~/.prefect/slurm) if empty.",
    )
    inherit_environment: bool = Field(
        default=True,
        title="Inherit the worker's environment",
        description="Give jobs the environment of the worker, as sbatch does; otherwise only PATH, HOME, USER, LANG and what env names.",
    )
    requeue: bool = Field(
        default=True,
        title="Requeue",
        description="Let SLURM start the job again after a node failure or preemption: the flow resumes.",
    )
    poll_seconds: float = Field(
        default=10.0, gt=0, title="Poll interval (s)", description="How often the queue is asked about this job."
    )
    queue_limit_hours: float = Field(
        default=168.0,
        gt=0,
        title="Longest wait in the queue (h)",
        description="A job that waits longer (e.g. for a node that is down) is taken out, and its run is Crashed.",
    )


class SlurmVariables(BaseVariables, Resources, Handling):
    """The pool's form."""


class SlurmConfiguration(BaseJobConfiguration, Resources, Handling):
    """Everything about the job of one flow run."""

    def prepare_for_flow_run(
        self,
        flow_run: FlowRun,
        deployment: DeploymentResponse | None = None,
        flow: Flow | None = None,
        work_pool: WorkPool | None = None,
        worker_name: str | None = None,
        worker_id: UUID | None = None,
    ) -> None:
        """Fill in what depends on the run."""
        super().prepare_for_flow_run(flow_run, deployment, flow, work_pool, worker_name, worker_id=worker_id)
        self._flow_run_id = str(flow_run.id)
        # The automation that finds dead runs listens for these.
        self.env.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")

    _flow_run_id: str = ""

    @staticmethod
    def _base_flow_run_command() -> str:
        """Empty: the engine of the worker's own Python, whose path is never part of a command line."""
        return ""

    @property
    def job_name(self) -> str:
        """What the job is called: not the form's ``name``, which may change."""
        return job_name(self._flow_run_id)

    @property
    def arguments(self) -> list[str]:
        """The command, as arguments."""
        return split_command(self.command) if self.command else [sys.executable, "-m", "prefect.engine"]

    @property
    def sbatch_options(self) -> list[str]:
        """All options of sbatch."""
        log = f"{escaped(self.logs)}/{self.job_name}-%j.out"
        # One line of plain characters: it is shown by squeue and scontrol.
        comment = "".join(letter if letter.isalnum() or letter in " ._-/" else "_" for letter in self.name or "")
        return job_options(self, self.job_name, f"axonloom {comment}".strip(), log, self.working_dir, self.requeue)

    @property
    def logs(self) -> Path:
        """The folder of the logs, absolute."""
        return Path(self.log_folder or Path(PREFECT_HOME.value()) / "slurm").expanduser().absolute()

    def log_of(self, job_id: str) -> Path:
        """The log of a job, where SLURM itself no longer says it."""
        return self.logs / f"{self.job_name}-{job_id}.out"

    def script(self) -> str:
        """The batch script."""
        return batch_script(self.setup)

    def environment(self) -> dict[str, str]:
        """The environment of the job."""
        base: dict[str, Any] = dict(os.environ)
        if not self.inherit_environment:
            kept = (
                "PATH",
                "HOME",
                "USER",
                "LOGNAME",
                "SHELL",
                "LANG",
                "LC_ALL",
                "TMPDIR",
                "SLURM_CONF",
                "SLURM_CLUSTERS",
            )
            base = {name: base[name] for name in kept if name in base}
        return job_environment(base, self.env)
