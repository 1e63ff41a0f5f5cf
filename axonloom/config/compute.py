"""Where and how widely a job runs. Nothing here changes a byte of the result."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, model_validator

from axonloom.config.settings import Settings

#: What SLURM calls a time: minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]].
_TIME = re.compile(r"(?:(?P<days>\d+)-(?P<after>\d+(?::\d+){0,2})|(?P<plain>\d+(?::\d+){0,2}))")
_MEMORY = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT])i?B?", re.IGNORECASE)
#: Paths of nodes may name variables of the job ($TMPDIR); nothing else in them means something to a shell.
_NODE_PATH = re.compile(r"(?:[\w./~@%+:=,-]|\$\w+|\$\{\w+\})+")


def seconds_of(time: str) -> int:
    """Seconds in a time as SLURM writes it.

    Raises
    ------
    ValueError
        It is no such time, or it is zero.
    """
    found = _TIME.fullmatch(time)
    if found is None:
        raise ValueError(
            f"{time!r} is no time: write 90 (minutes), 04:00:00 or 2-12:00:00 (days-hours:minutes:seconds)"
        )
    if found["days"] is not None:
        hours, minutes, seconds = ([int(part) for part in found["after"].split(":")] + [0, 0])[:3]
        total = ((int(found["days"]) * 24 + hours) * 60 + minutes) * 60 + seconds
    else:
        parts = [int(part) for part in found["plain"].split(":")]
        hours, minutes, seconds = {1: (0, *parts, 0), 2: (0, *parts), 3: tuple(parts)}[len(parts)]
        total = (hours * 60 + minutes) * 60 + seconds
    if total == 0:
        raise ValueError(f"{time!r} is no time at all: jobs need some")
    return total


def megabytes_of(memory: str) -> int:
    """Megabytes (2**20 bytes) in an amount such as 16GB, 500M or 1.5T.

    Raises
    ------
    ValueError
        It is no such amount, or less than one megabyte.
    """
    found = _MEMORY.fullmatch(memory.strip())
    if found is None:
        raise ValueError(f"{memory!r} is no amount of memory: write 16GB or 900MB")
    megabytes = float(found["number"]) * {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}[found["unit"].upper()]
    if megabytes < 1:
        raise ValueError(f"{memory!r} is less than a megabyte")
    return int(megabytes)


def _as_text(value: Any) -> Any:
    # A bare 90 in YAML is a number; True is one for Python, and no time.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _time(value: str) -> str:
    seconds_of(value)
    return value


def _memory(value: str) -> str:
    megabytes_of(value)
    return value


def _word(value: str) -> str:
    if not value or value.startswith("-") or not value.isprintable() or any(letter.isspace() for letter in value):
        raise ValueError(f"{value!r} must be one word, as SLURM takes it after the option")
    return value


def _line(value: str) -> str:
    if "\n" in value or "\r" in value:
        raise ValueError(f"{value!r} must be a single line; write one entry a line")
    return value


def _directive(value: str) -> str:
    if not _line(value).startswith("-"):
        raise ValueError(f"{value!r} is no option of sbatch: write it as after #SBATCH, such as --exclude=node07")
    return value


def _node_path(value: str) -> str:
    if not _NODE_PATH.fullmatch(value):
        raise ValueError(
            f"{value!r} is no path that a job can use: letters, digits, ./~@%+:=,- and variables ($TMPDIR)"
        )
    return value


Time = Annotated[str, BeforeValidator(_as_text), AfterValidator(_time)]
Memory = Annotated[str, AfterValidator(_memory)]
Word = Annotated[str, AfterValidator(_word)]
Line = Annotated[str, AfterValidator(_line)]
Directive = Annotated[str, AfterValidator(_directive)]
NodePath = Annotated[str, AfterValidator(_node_path)]


class JobProfile(Settings):
    """A kind of SLURM job that runs batches of blocks: what it asks for, and how its environment is set up."""

    partition: Word | None = Field(default=None, description="Partition; the cluster's default when not given.")
    account: Word | None = Field(default=None, description="Account that is charged.")
    qos: Word | None = Field(default=None, description="Quality of service.")
    time: Time = Field(
        default="04:00:00",
        description="Time limit of a job ([days-]hours:minutes:seconds, or minutes). Workers leave before it and are replaced.",
    )
    cores: PositiveInt = Field(default=4, description="CPU cores of a job.")
    memory: Memory = Field(default="16GB", description="Memory of a job, shared by its workers.")
    workers: PositiveInt | None = Field(
        default=None,
        description="Batches that a job runs at once, each in a process of its own. When not given: one a core, or one a job "
        "that has a gres.",
    )
    gres: Word | None = Field(default=None, description="Generic resources, such as gpu:1.")
    constraint: Word | None = Field(default=None, description="Features that a node must have.")
    setup: tuple[Line, ...] = Field(
        default=(), description="Lines of shell that a job runs first, such as: module load cuda."
    )
    directives: tuple[Directive, ...] = Field(
        default=(), description="Further options of sbatch, each as after #SBATCH, such as --exclude=node07."
    )
    scratch: NodePath | None = Field(
        default=None, description="Local folder of a node for temporary files; may name variables, such as $TMPDIR."
    )
    python: NodePath | None = Field(
        default=None, description="Python on the nodes; the one that runs here when not given."
    )
    max_jobs: PositiveInt = Field(default=8, description="Jobs of this profile that one flow run has at once, at most.")
    leave_after: Time | None = Field(
        default=None,
        description="When a worker takes no further batch and ends its job; before the time limit when not given.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> JobProfile:
        if self.workers is not None and self.workers > self.cores:
            raise ValueError(f"workers: {self.workers} in a job of {self.cores} cores; give each a core at least")
        if self.leave_after is not None and seconds_of(self.leave_after) >= self.seconds:
            raise ValueError(f"leave_after: {self.leave_after} is not before the time limit, {self.time}")
        return self

    @property
    def seconds(self) -> int:
        """The time limit."""
        return seconds_of(self.time)

    @property
    def workers_per_job(self) -> int:
        return self.workers or (1 if self.gres else self.cores)

    @property
    def threads(self) -> int:
        """CPU threads of each worker."""
        return max(1, self.cores // self.workers_per_job)

    @property
    def has_gpu(self) -> bool:
        return self.gres is not None and "gpu" in self.gres

    @property
    def leaving_seconds(self) -> float:
        """Seconds after a job's start at which its workers take no further batch: a tenth before the limit, 10 minutes at
        most, so that the batch that runs can end."""
        if self.leave_after is not None:
            return float(seconds_of(self.leave_after))
        return self.seconds - min(600.0, 0.1 * self.seconds)


class ProfilesSettings(Settings):
    """The kinds of SLURM jobs: inference runs on the GPU profile where there is one, everything else on the CPU profile."""

    cpu: JobProfile = Field(default=JobProfile(), description="Jobs for all stages that need no GPU.")
    gpu: JobProfile | None = Field(default=None, description="Jobs for inference; it runs on the CPU profile without.")


class NetworkSettings(Settings):
    """How the workers on other machines reach the flow, which hands out their batches."""

    interface: Word | None = Field(
        default=None, description="Network interface that the nodes share with the flow's machine, such as ib0."
    )
    host: Word | None = Field(
        default=None,
        description="Name or address at which the nodes reach the flow's machine, instead of an interface.",
    )
    encrypted: bool = Field(
        default=True,
        description="Workers and flow speak TLS and know each other by certificates made for the run.",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> NetworkSettings:
        if self.interface is not None and self.host is not None:
            raise ValueError("give network.interface or network.host, not both")
        return self


class ComputeSettings(Settings):
    """Workers."""

    on: Literal["local", "dask", "slurm"] = Field(
        default="local",
        description="local: threads of this process (the kernels release the interpreter lock). dask: processes of a "
        "Dask cluster on this machine. slurm: jobs of a SLURM cluster.",
    )
    block: str | None = Field(
        default=None,
        description="Name of saved compute settings (a Prefect block; `axonloom compute save NAME` writes one). They replace "
        "everything else in this section.",
    )
    workers: PositiveInt = Field(default=2, description="Batches of blocks that run at once, for local and dask.")
    retries: int = Field(
        default=3,
        ge=0,
        le=20,
        description="Further tries of a batch after an error that may pass, such as a lost server.",
    )
    profiles: ProfilesSettings = Field(default=ProfilesSettings(), description="Kinds of SLURM jobs.")
    network: NetworkSettings = Field(default=NetworkSettings(), description="How SLURM jobs reach the flow.")
