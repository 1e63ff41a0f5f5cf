"""The three SLURM commands that workers need. Each is an argument list: no shell reads what a configuration says."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from axonloom.config.compute import JobProfile, megabytes_of
from blocks.slurm_answers import QUEUE_FORMAT, QueuedJob, SlurmError, parse_queue, parse_submission, refusal

#: Seconds that a SLURM command may take: a busy controller answers late.
PATIENCE = 60.0

#: States of a job that holds no node.
WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"})

#: Reasons for which a job waits for ever (squeue's %R).
HOPELESS = frozenset(
    {
        "BadConstraints",
        "DependencyNeverSatisfied",
        "InvalidAccount",
        "InvalidQOS",
        "JobHeldAdmin",
        "PartitionNodeLimit",
        "PartitionTimeLimit",
    }
)


def options_of(profile: JobProfile, name: str, log: Path) -> list[str]:
    """The options of sbatch that ask for what a profile describes.

    ``name`` is the job's; ``log`` its output file, in which ``%j`` is the job's id.
    """
    options = [
        f"--job-name={name}",
        f"--output={log}",
        "--open-mode=append",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={profile.cores}",
        f"--mem={megabytes_of(profile.memory)}M",
        f"--time={max(1, -(-profile.seconds // 60))}",
    ]
    for option in ("partition", "account", "qos", "gres", "constraint"):
        value = getattr(profile, option)
        if value is not None:
            options.append(f"--{option}={value}")
    for line in profile.directives:
        options += shlex.split(line)
    return options


def submit(options: Sequence[str], script: str) -> str:
    """Submit the text of a script; returns the job's id.

    Raises
    ------
    SlurmError, SlurmUnreachableError
        sbatch is missing, or refused.
    """
    done = _run(["sbatch", "--parsable", *options], script)
    if done.returncode:
        raise refusal("sbatch", done.stderr or done.stdout)
    return parse_submission(done.stdout)


def queue() -> dict[str, QueuedJob] | None:
    """This user's jobs that wait or run, by id; None when SLURM does not answer."""
    done = _run(["squeue", "--noheader", f"--user={os.getuid()}", f"--format={QUEUE_FORMAT}"])
    return None if done.returncode else {job.id: job for job in parse_queue(done.stdout)}


def cancel(ids: Iterable[str]) -> None:
    """Take jobs out of the queue, or end them; those that ended before are let be."""
    ids = list(ids)
    if ids:
        _run(["scancel", "--quiet", *ids])


def script_of(profile: JobProfile, command: Sequence[str], exports: dict[str, str], scratch: bool = True) -> str:
    """A job's script: the profile's set-up lines, the environment of its workers, and the command as its last process.

    The command is quoted word by word. Of the profile, ``setup`` is shell as it stands, and ``scratch`` and ``python`` may name
    variables, which the configuration has checked to be all that they do.
    """
    # A folder called tasks or blocks where a job happens to start must not hide the packages of that name.
    exports = {"PYTHONSAFEPATH": "1", **exports}
    lines = ["#!/bin/bash", *profile.setup]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in exports.items()]
    if scratch and profile.scratch is not None:
        lines += [f'export TMPDIR="{_expanding(profile.scratch)}"', 'mkdir -p "$TMPDIR"']
    python = f'"{_expanding(profile.python)}"' if profile.python is not None else None
    words = [python or shlex.quote(command[0]), *(shlex.quote(word) for word in command[1:])]
    return "\n".join([*lines, "exec " + " ".join(words)]) + "\n"


def end_of(log: Path, lines: int = 15) -> str:
    """The last lines of a job's output; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16384))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def _expanding(path: str) -> str:
    # Within double quotes a shell expands no ~.
    return "$HOME" + path[1:] if path == "~" or path.startswith("~/") else path


def _run(command: list[str], given: str | None = None) -> subprocess.CompletedProcess[str]:
    # Inside a job, SLURM_* describe that job; SLURM_CONF says which cluster this is.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") or k == "SLURM_CONF"}
    try:
        return subprocess.run(
            command, input=given, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except FileNotFoundError:
        raise SlurmError(
            f"{command[0]} is not on this machine: compute.on: slurm runs where SLURM's commands are (a login node)"
        ) from None
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"timed out after {PATIENCE:.0f} s")
