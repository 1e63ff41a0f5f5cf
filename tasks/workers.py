"""The workers of a flow: started when first needed, shared by its stages, gone when it ends."""

from __future__ import annotations

from contextlib import ExitStack
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from axonloom.config.compute import ComputeSettings
from axonloom.config.infer import InferSettings
from axonloom.config.load import ConfigurationError
from axonloom.stage import StagePlan
from blocks.compute import Compute, Profile, resolved

#: Stages that run on the GPU profile, where there is one.
GPU_STAGES = frozenset({"infer", "predict"})
#: Folder of a workspace with the output of SLURM jobs, and the keys of the run.
JOBS = "slurm"

#: The workers of the flow that is running here, for the flows inside it.
_ENTERED: ContextVar[Workers | None] = ContextVar("workers", default=None)


def profile_of(stage: str, settings: ComputeSettings) -> Profile:
    """The kind of SLURM job that runs a stage."""
    return "gpu" if stage in GPU_STAGES and settings.profiles.gpu is not None else "cpu"


def require_device_chosen(infer: InferSettings, settings: ComputeSettings) -> None:
    """Raise ConfigurationError where inference goes to jobs, and these have GPUs other than this machine does, so that auto cannot tell.

    The device decides the last bits of a prediction, so it is settled where the run is planned, for all jobs and runs alike.
    """
    if settings.on != "slurm" or infer.device != "auto":
        return
    import torch  # takes seconds

    profile = settings.profiles.gpu
    wanted, seen = profile.gres if profile is not None and profile.has_gpu else None, torch.cuda.is_available()
    if wanted is not None and not seen:
        raise ConfigurationError(
            f"compute.profiles.gpu asks for {wanted}, and infer.device is auto, which means the CPU where no GPU is seen, as "
            "here: set infer.device to cuda, with infer.batch (such as 4), or to cpu"
        )
    if seen and wanted is None:
        raise ConfigurationError(
            "infer.device is auto, which means the GPU that is seen here, and no profile of compute.profiles asks for one: set "
            "infer.device to cpu, or compute.profiles.gpu.gres, such as gpu:1, with infer.device cuda"
        )


class Workers:
    """Task runners for batches, as a context manager; ``settings`` are those of the configuration, over those of its block.

    A Dask cluster takes seconds to start, and SLURM jobs may wait for hours, so the stages of a flow share them (one cluster a
    profile), and the flows inside a flow use those of the outer one where it has some of the same settings. On this machine a
    stage with a single open batch gains nothing from a cluster and runs on a thread of the flow's own process; with SLURM it
    goes to a job like all others, since a flow may run where nothing heavy is allowed to.
    """

    def __init__(self, settings: ComputeSettings) -> None:
        self.settings = resolved(settings)
        self._outer: Workers | None = None
        self._entered: Token[Workers | None] | None = None
        self._stack = ExitStack()
        self._runners: dict[Profile, TaskRunner[Any]] = {}

    def runner_for(self, batches: int, plan: StagePlan) -> TaskRunner[Any]:
        """A started runner for this many batches of a stage."""
        if self._outer is not None:
            return self._outer.runner_for(batches, plan)
        if batches == 1 and self.settings.on == "dask":
            return self._stack.enter_context(ThreadPoolTaskRunner(max_workers=1))
        # Threads and local processes are of one kind.
        profile = profile_of(plan.stage, self.settings) if self.settings.on == "slurm" else "cpu"
        if profile not in self._runners:
            runner = Compute(settings=self.settings).task_runner(profile, plan.workspace.absolute() / JOBS)
            self._runners[profile] = self._stack.enter_context(runner)
        return self._runners[profile]

    def __enter__(self) -> Workers:
        outer = _ENTERED.get()
        if outer is not None and outer.settings == self.settings:
            self._outer = outer
        else:
            self._entered = _ENTERED.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._entered is not None:
            _ENTERED.reset(self._entered)
        self._stack.close()
