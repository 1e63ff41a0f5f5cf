"""What a Dask worker does when it starts; in a SLURM job, it leaves between two batches, before the time limit.

Loaded into the worker by ``--preload``. Dask's own ``--lifetime`` hands the running task to another worker while its thread is
still at it, so that a block would be computed twice at the same time; here the worker first takes no further tasks, then ends
what it runs, and leaves after that. What does not end by the time limit is killed with the job, and goes on elsewhere from its
ledger.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from pathlib import Path

from distributed import Worker
from distributed.core import Status

#: Unix time at which the workers of a job leave, set in its script; and the seconds by which each may go earlier.
LEAVE_AT = "AXONLOOM_LEAVE_AT"
STAGGER = "AXONLOOM_LEAVE_STAGGER"
GPUS = "CUDA_VISIBLE_DEVICES"
#: Seconds that the flow may take to fetch the last result.
FETCHING = 10.0


async def dask_setup(worker: Worker) -> None:
    """Choose the GPU and arrange the leaving; called by Dask in a worker that starts."""
    # Logs that cannot be sent, to a server that is away, would otherwise tear the flow's own words on the terminal.
    logging.raiseExceptions = False
    # Before anything imports torch: the workers of a job, or of this machine, share its GPUs out among themselves.
    visible = os.environ.get(GPUS, ",".join(gpus_of_machine()))
    if "," in visible:
        os.environ[GPUS] = gpu_of(str(worker.name), visible)
    if LEAVE_AT in os.environ:
        # Jobs start together when a queue opens; they should not all end together.
        early = random.random() * float(os.environ.get(STAGGER, "0"))
        seconds = max(0.0, float(os.environ[LEAVE_AT]) - early - time.time())
        worker.loop.call_later(seconds, leave, worker)


def gpus_of_machine(devices: Path = Path("/dev")) -> list[str]:
    """Numbers of the GPUs of this machine, by the device files that NVIDIA's driver makes."""
    numbers = [name.removeprefix("nvidia") for name in os.listdir(devices) if name.startswith("nvidia")]
    return sorted((n for n in numbers if n.isdigit()), key=int)


def gpu_of(worker: str, visible: str) -> str:
    """The GPU of a worker: its number picks one of the visible. It is the whole name on this machine, and the end of the name among
    several workers of a job; the one worker of a job has them all.
    """
    job, _, number = worker.rpartition("-")
    shares = number.isdigit() and (not job or job.rpartition("-")[2].isdigit())
    gpus = visible.split(",")
    return gpus[int(number) % len(gpus)] if shares else visible


async def leave(worker: Worker) -> None:
    """End what runs, let the results be fetched, and close the worker and its nanny."""
    if worker.status != Status.running:
        return
    # The scheduler gives no more tasks to a worker in this state, and the worker begins none of those that wait in it.
    worker.status = Status.closing_gracefully
    while worker.state.executing:
        await asyncio.sleep(0.2)
    give_up = time.monotonic() + FETCHING
    while worker.data and time.monotonic() < give_up:
        await asyncio.sleep(0.2)
    await worker.scheduler.retire_workers(
        workers=[worker.address], close_workers=False, remove=True, stimulus_id=f"before-time-limit-{time.time()}"
    )
    await worker.close(nanny=True, reason="before the job's time limit")
