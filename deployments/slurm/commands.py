"""``sbatch``, ``squeue``, ``scontrol`` and ``scancel``: argument lists out, typed answers back.

Neither the accounting database nor the REST service is needed, which many clusters do not have. Every call has a time limit.
"""

from __future__ import annotations

import asyncio
import datetime
import getpass
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blocks.slurm_answers import (
    QUEUE_FORMAT,
    QueuedJob,
    SlurmError,
    SlurmUnreachableError,
    parse_queue,
    parse_submission,
    refusal,
)

#: Seconds that one command may take: a busy controller answers late, and SLURM's own MessageTimeout is often 60 or 100.
COMMAND_SECONDS = 120.0
#: What it says about a job that it does not know, or no longer.
_UNKNOWN_JOB = ("Invalid job id specified", "Job/step already completing or completed")


@dataclass(frozen=True)
class JobRecord:
    """A job as ``scontrol show job`` tells it."""

    id: str
    name: str
    state: str
    fields: dict[str, str]

    @property
    def restarts(self) -> int:
        return int(self.fields.get("Restarts", "0"))

    @property
    def exit_code(self) -> int:
        """Of a job that ended badly: never 0, and negative where a signal ended it."""
        code, _, killed_by = self.fields.get("ExitCode", "1:0").partition(":")
        if killed_by.isdigit() and int(killed_by):
            return -int(killed_by)
        return int(code) if code.isdigit() and int(code) else 1

    @property
    def submitted(self) -> datetime.datetime | None:
        """When it was submitted, or put back into the queue."""
        return self._time("SubmitTime")

    @property
    def ended(self) -> datetime.datetime | None:
        """When it ended, or will at the latest."""
        return self._time("EndTime")

    def _time(self, field: str) -> datetime.datetime | None:
        try:
            return datetime.datetime.fromisoformat(self.fields[field]).astimezone()
        except (KeyError, ValueError):
            return None

    @property
    def log(self) -> Path | None:
        path = self.fields.get("StdOut", "")
        return Path(path) if path.startswith("/") else None


async def submit(options: Sequence[str], script: Path, arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Submit ``script`` with ``arguments``; the job's id. The job gets ``environment``, whole and as it is."""
    command = ["sbatch", "--parsable", *options, str(script), *arguments]
    return parse_submission(await _run(command, environment))


async def jobs_named(prefix: str) -> list[QueuedJob]:
    """This user's jobs whose name begins with ``prefix``, ended ones too as long as SLURM lists them."""
    command = ["squeue", "--noheader", f"--user={getpass.getuser()}", "--states=all", f"--format={QUEUE_FORMAT}"]
    return [job for job in parse_queue(await _run(command)) if job.name.startswith(prefix)]


async def show_job(id: str) -> JobRecord | None:
    """Everything about a job; None when SLURM does not know it (any more)."""
    try:
        return parse_job(await _run(["scontrol", "show", "job", "--oneliner", id]))
    except SlurmUnreachableError:
        raise
    except SlurmError as error:
        if any(mark in str(error) for mark in _UNKNOWN_JOB):
            return None
        raise


async def cancel(id: str) -> bool:
    """End a job; False when SLURM says that there is nothing to end."""
    try:
        await _run(["scancel", id])
    except SlurmUnreachableError:
        raise
    except SlurmError as error:
        if any(mark in str(error) for mark in _UNKNOWN_JOB):
            return False
        raise
    return True


def parse_job(output: str) -> JobRecord | None:
    """The answer of ``scontrol show job --oneliner``: ``Name=value`` pairs, whose values may hold blanks and ``=``."""
    fields: dict[str, str] = {}
    last = ""
    for word in output.split():
        name, equals, value = word.partition("=")
        # A pair begins with a capital; "Command=/a b/script --x=1" and "JobName=my Job=2" go on with the value before.
        if equals and name[:1].isupper() and name.replace("/", "").replace(":", "").isalnum() and name not in fields:
            fields[name] = value
            last = name
        elif last:
            fields[last] += " " + word
    if "JobId" not in fields or "JobState" not in fields:
        return None
    return JobRecord(fields["JobId"], fields.get("JobName", ""), fields["JobState"].split()[0], fields)


async def _run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """The output of a command.

    Raises
    ------
    SlurmUnreachableError
        No answer within COMMAND_SECONDS, or one of the passing refusals.
    SlurmError
        It ended with an error, or is not installed here.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=None if environment is None else dict(environment),
            # A Ctrl+C at the worker's terminal must not reach a half-made submission.
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise SlurmError(
            f"no program {command[0]} on this machine: start the worker where SLURM's commands are (a login node)"
        ) from error
    try:
        output, errors = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
    except TimeoutError as error:
        _kill(process.pid)
        await process.wait()
        raise SlurmUnreachableError(f"{command[0]} did not answer within {COMMAND_SECONDS:.0f} s") from error
    if process.returncode:
        raise refusal(command[0], errors.decode(errors="replace"))
    return output.decode(errors="replace")


def _kill(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
