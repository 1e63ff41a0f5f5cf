"""What SLURM's commands answer: job ids, the queue, refusals. Shared by all that call them."""

from __future__ import annotations

from dataclasses import dataclass

from axonloom.bad_input import BadInputError

#: The format of ``squeue`` that :func:`parse_queue` reads.
QUEUE_FORMAT = "%i|%T|%R|%j"
#: What the commands say when the controller is away or overworked: worth another try.
_PASSING = (
    "Unable to contact slurm controller",
    "Unable to establish control connection",
    "timed out",
    "Connection refused",
    "Connection reset",
    "Zero Bytes were transmitted",
    "temporarily unavailable",
    "temporarily unable to accept job",
    "try again",
    "slurm backup controller",
    "Slurm controller not responding",
    "System in standby",
    "Job queue limit",
    "QOSMaxSubmitJobPerUserLimit",
    "AssocMaxSubmitJobLimit",
    "job submit limit",
)


class SlurmError(BadInputError):
    """SLURM refused a command; the message has its own words."""


class SlurmUnreachableError(SlurmError):
    """The controller did not answer, or asks to come back later."""


@dataclass(frozen=True)
class QueuedJob:
    """A job as ``squeue`` lists it.

    Attributes
    ----------
    reason : why it waits ("Resources", "Priority", …), or on which nodes it runs
    """

    id: str
    name: str
    state: str
    reason: str


def refusal(command: str, said: str) -> SlurmError:
    """The error for what a command said when it failed: one that may pass, or not."""
    words = " ".join(said.split()).removeprefix(f"{command}: error: ") or "it gave no reason"
    passing = any(mark.lower() in words.lower() for mark in _PASSING)
    return (SlurmUnreachableError if passing else SlurmError)(f"{command} refused: {words}")


def parse_submission(output: str) -> str:
    """The job id in the answer of ``sbatch --parsable``: ``id`` or ``id;cluster``."""
    id = output.strip().splitlines()[-1].split(";")[0] if output.strip() else ""
    if not id.isdigit():
        raise SlurmError(f"sbatch answered {output!r}, where a job id was expected")
    return id


def parse_queue(output: str) -> list[QueuedJob]:
    """The lines of ``squeue --format=QUEUE_FORMAT``; a name may hold anything, so it comes last."""
    jobs = []
    for line in output.splitlines():
        parts = line.split("|", 3)
        if len(parts) == 4:
            id, state, reason, name = parts
            jobs.append(QueuedJob(id.strip(), name, state.strip(), reason.strip().strip("()")))
    return jobs
