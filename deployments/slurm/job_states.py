"""What each state of a SLURM job means for the flow run that it carries.

The names are those of ``squeue`` and ``scontrol`` (SLURM's "JOB STATE CODES"). A state that is not in the table is taken for a
job that still lives: a newer SLURM must not make a worker give up a job.
"""

from __future__ import annotations

from enum import Enum


class Meaning(Enum):
    """What a worker does about a job in some state."""

    WAITING = "in the queue: its run is Pending"
    RUNNING = "on a node: its run says itself what it does"
    ENDING = "its processes are being ended: wait"
    COMPLETED = "the command ended with exit code 0: its run must have reported its own end"
    FAILED = "it ended otherwise: a run that has not reported its own end is Crashed"


MEANINGS: dict[str, Meaning] = {
    "PENDING": Meaning.WAITING,
    "CONFIGURING": Meaning.WAITING,
    "REQUEUED": Meaning.WAITING,
    "REQUEUE_FED": Meaning.WAITING,
    "REQUEUE_HOLD": Meaning.WAITING,
    "RESV_DEL_HOLD": Meaning.WAITING,
    "SPECIAL_EXIT": Meaning.WAITING,
    "RUNNING": Meaning.RUNNING,
    "RESIZING": Meaning.RUNNING,
    "SIGNALING": Meaning.RUNNING,
    "STOPPED": Meaning.RUNNING,
    "SUSPENDED": Meaning.RUNNING,
    "COMPLETING": Meaning.ENDING,
    "STAGE_OUT": Meaning.ENDING,
    "COMPLETED": Meaning.COMPLETED,
    "BOOT_FAIL": Meaning.FAILED,
    "CANCELLED": Meaning.FAILED,
    "DEADLINE": Meaning.FAILED,
    "FAILED": Meaning.FAILED,
    "LAUNCH_FAILED": Meaning.FAILED,
    "NODE_FAIL": Meaning.FAILED,
    "OUT_OF_MEMORY": Meaning.FAILED,
    "PREEMPTED": Meaning.FAILED,
    "RECONFIG_FAIL": Meaning.FAILED,
    "REVOKED": Meaning.FAILED,
    "TIMEOUT": Meaning.FAILED,
}

#: What a person reads; ``{limit}``, ``{memory}``, ``{nodes}``, ``{exit_code}`` and ``{reason}`` come from ``scontrol show job``.
_CAUSES: dict[str, str] = {
    "BOOT_FAIL": "its node did not boot",
    "CANCELLED": "it was cancelled with scancel",
    "DEADLINE": "its deadline passed",
    "FAILED": "its command ended with exit code {exit_code}",
    "LAUNCH_FAILED": "it could not be started ({reason})",
    "NODE_FAIL": "its node ({nodes}) failed",
    "OUT_OF_MEMORY": "it used more memory than it asked for ({memory})",
    "PREEMPTED": "a job of higher priority took its place",
    "RECONFIG_FAIL": "its node could not be configured",
    "REVOKED": "another cluster took it over",
    "TIMEOUT": "it reached its time limit ({limit})",
}

#: What slurmstepd writes into a job's log where memory is watched by polling and not by cgroups.
_MEMORY_MARKS = ("memory limit", "oom-kill", "oom_kill", "Out Of Memory")


def meaning_of(state: str) -> Meaning:
    """The meaning of a state; of one that is not in the table: RUNNING, so that the job is followed on."""
    return MEANINGS.get(state, Meaning.RUNNING)


def cause_of(state: str, fields: dict[str, str], log: str) -> str:
    """Why a job ended badly, as half a sentence.

    ``fields`` are those of ``scontrol show job``, ``log`` the end of the job's output. A job that was killed for its memory
    without cgroups is FAILED with signal 9 in SLURM's eyes, and only its log says why.
    """
    exit_code, _, killed_by = fields.get("ExitCode", "?:0").partition(":")
    if state == "FAILED":
        if any(mark in log for mark in _MEMORY_MARKS):
            state = "OUT_OF_MEMORY"
        elif killed_by not in ("", "0"):
            hint = " (often for its memory)" if killed_by == "9" else ""
            return f"its command was ended by signal {killed_by}{hint}"
    cause = _CAUSES.get(state, f"it ended in state {state}")
    return cause.format(
        limit=fields.get("TimeLimit", "unknown"),
        memory=_memory(fields),
        nodes=fields.get("NodeList", "unknown"),
        exit_code=exit_code,
        reason=fields.get("Reason", "no reason given"),
    )


def _memory(fields: dict[str, str]) -> str:
    for name in ("MinMemoryNode", "MinMemoryCPU"):
        if name in fields:
            return fields[name] + (" a CPU" if name == "MinMemoryCPU" else "")
    return "unknown"
