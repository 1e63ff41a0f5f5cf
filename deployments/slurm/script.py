"""What is handed to ``sbatch``: its options, the batch script, and the environment of the job.

The options travel as arguments and not as ``#SBATCH`` lines: a login node's ``SBATCH_*`` variables override the lines in a script
but not the arguments, and an argument needs no quoting. The script holds nothing but the set-up lines of the pool's own
configuration and ``exec "$@"``: the command is its arguments, so no path is ever pasted into shell text.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, field_validator

_TIME = re.compile(r"(\d+-)?\d+(:\d+){0,2}")
_MEMORY = re.compile(r"\d+[KMGT]?")
#: Options that the worker sets itself; another value would make it lose its jobs.
_OURS = (
    "--array",
    "--chdir",
    "--comment",
    "--error",
    "--export",
    "--export-file",
    "--job-name",
    "--no-requeue",
    "--open-mode",
    "--output",
    "--parsable",
    "--requeue",
    "--test-only",
    "--wait",
    "--wrap",
)


class Resources(BaseModel):
    """What a job asks SLURM for. A field that is not given is left to the cluster's own default."""

    partition: str | None = Field(
        default=None, title="Partition", description="Partition(s) to submit to, e.g. gpu or short,long."
    )
    account: str | None = Field(default=None, title="Account", description="Account to charge.")
    qos: str | None = Field(default=None, title="QOS", description="Quality of service.")
    time_limit: str | None = Field(
        default=None,
        title="Time limit",
        description="Minutes, HH:MM:SS or D-HH:MM:SS, e.g. 12:00:00. A run that reaches it is Crashed and can be retried: it resumes.",
    )
    memory: str | None = Field(
        default=None, title="Memory", description="Memory per node with its unit, e.g. 16G. Without a unit: megabytes."
    )
    cpus: int = Field(default=1, ge=1, title="CPUs", description="CPU cores for the flow run.")
    gpus: int = Field(default=0, ge=0, title="GPUs", description="GPUs for the flow run.")
    gpu_type: str | None = Field(
        default=None, title="GPU type", description="Kind of GPU as the cluster names it, e.g. a100; any if empty."
    )
    constraint: str | None = Field(
        default=None, title="Constraint", description="Features that the node must have, e.g. avx512&ssd."
    )
    extra: list[str] = Field(
        default_factory=list,
        title="Extra options",
        description="Further sbatch options, one a line, e.g. --reservation=weekend or --exclude=node13.",
    )

    @field_validator("time_limit", mode="before")
    @classmethod
    def _time(cls, value: Any) -> Any:
        text = str(value) if value is not None else None
        if text is not None and not _TIME.fullmatch(text):
            raise ValueError(f"{text!r} is no time limit: give minutes, HH:MM:SS or D-HH:MM:SS, e.g. 12:00:00")
        return text

    @field_validator("memory", mode="before")
    @classmethod
    def _memory(cls, value: Any) -> Any:
        text = str(value) if value is not None else None
        if text is not None and not _MEMORY.fullmatch(text):
            raise ValueError(f"{text!r} is no amount of memory: give a whole number and K, M, G or T, e.g. 16G")
        return text

    @field_validator("partition", "account", "qos", "gpu_type", "constraint", "time_limit", "memory", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        # An emptied field of the form in the UI is "". Defined last, so it runs first.
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("extra")
    @classmethod
    def _allowed(cls, options: list[str]) -> list[str]:
        for option in options:
            name = option.split("=")[0]
            if not name.startswith("--") or name == "--":
                raise ValueError(f"{option!r} is no long sbatch option: write it as --name=value")
            if name in _OURS:
                raise ValueError(f"{name} is set by the worker: leave it out of the extra options")
        return options

    def options(self) -> list[str]:
        """As arguments of ``sbatch``."""
        gpu = f"gpu:{self.gpu_type}" if self.gpu_type else "gpu"
        given = {
            "--partition": self.partition,
            "--account": self.account,
            "--qos": self.qos,
            "--time": self.time_limit,
            "--mem": self.memory,
            "--ntasks": 1,
            "--cpus-per-task": self.cpus,
            "--gres": f"{gpu}:{self.gpus}" if self.gpus else None,
            "--constraint": self.constraint,
        }
        return [f"{name}={value}" for name, value in given.items() if value is not None] + list(self.extra)


def job_options(
    resources: Resources, name: str, comment: str, log: str, folder: str | None, requeue: bool
) -> list[str]:
    """All options of one job; ``log`` may hold SLURM's patterns such as ``%j``."""
    return [
        *resources.options(),
        f"--job-name={name}",
        f"--comment={comment}",
        f"--output={log}",
        # A requeued job goes on in the same file.
        "--open-mode=append",
        "--requeue" if requeue else "--no-requeue",
        "--export=ALL",
        *([f"--chdir={folder}"] if folder else []),
    ]


def batch_script(setup: Sequence[str]) -> str:
    """The script; its arguments are the command. It becomes the command, so that signals reach it and its exit code is the job's."""
    lines = ["#!/bin/bash", "# Written by axonloom: one Prefect flow run as one SLURM job.", *setup, 'exec "$@"', ""]
    return "\n".join(lines)


def job_environment(base: Mapping[str, str], own: Mapping[str, str | None]) -> dict[str, str]:
    """The environment of ``sbatch``, which is that of the job: ``base`` without what would steer or confuse it, then ``own``."""
    kept = {
        name: value
        for name, value in base.items()
        # SBATCH_*: options by the back door. SLURM_JOB_ID and the like: those of the job that the worker itself may run in.
        if not name.startswith(("SBATCH_", "SLURM_", "SLURMD_", "PREFECT__"))
        or name in ("SLURM_CONF", "SLURM_CLUSTERS")
    }
    return kept | {name: value for name, value in own.items() if value is not None}


def escaped(path: Path) -> str:
    """A path as sbatch's ``--output`` takes it: ``%`` begins a pattern there."""
    return str(path).replace("%", "%%")


def split_command(command: str) -> list[str]:
    """A command typed in the form, as arguments; quotes as in a shell, but no shell reads it."""
    return shlex.split(command)
