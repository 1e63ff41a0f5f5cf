"""Workers that are killed, and what the next one makes of their jobs: none lost, none doubled."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Iterator

import pytest
from prefect.client.orchestration import get_client
from prefect.states import Pending

from deployments.slurm.worker import SlurmWorker
from tests.deployments.slurm.conftest import POOL, Pool, Run


@pytest.fixture
def orphaned(pool: Pool) -> Iterator[Run]:
    """A run inside its flow, whose worker has been killed."""
    if not pool.workers:
        pool.start_worker()
    run = pool.start("stay/plain", seconds=600)
    run.wait_inside()
    run.wait(lambda: run.read().infrastructure_pid, "recorded with its job")
    pool.kill_workers()
    yield run
    pool.kill_workers()


@pytest.mark.slow
def test_a_new_worker_takes_up_a_running_job(pool: Pool, orphaned: Run):
    (job,) = orphaned.jobs()
    pool.start_worker("second")
    orphaned.wait_log(f"Worker 'second' follows SLURM job {job} of an earlier worker")
    orphaned.cancel()
    orphaned.wait_state("Cancelled")
    pool.slurm.wait_for(lambda: pool.slurm.job(job).state == "CANCELLED", "the job is cancelled")
    assert orphaned.jobs() == [job]


@pytest.mark.slow
def test_a_job_that_died_meanwhile_is_reported(pool: Pool, orphaned: Run):
    (job,) = orphaned.jobs()
    # Not scancel: its SIGTERM would let the run report its own crash.
    os.kill(int(orphaned.lines("started")[0].split()[2]), signal.SIGKILL)
    pool.slurm.wait_for(lambda: pool.slurm.job(job).ended, "the job has died")
    assert orphaned.state.name == "Running"
    pool.start_worker("second")
    state = orphaned.wait_state("Crashed")
    assert f"SLURM job {job} ended: its command was ended by signal 9" in (state.message or "")
    orphaned.go_on()
    orphaned.retry()
    orphaned.wait_state("Completed")
    assert len(orphaned.jobs()) == 2


@pytest.mark.fault
def test_a_job_that_slurm_has_forgotten_is_no_success(pool: Pool, orphaned: Run):
    (job,) = orphaned.jobs()
    node = pool.slurm.job(job).nodes
    pool.slurm.kill_node(node)
    pool.slurm.kill_controller()
    pool.slurm.revive_controller(forget_jobs=True, wait=False)
    pool.slurm.revive_node(node)
    assert pool.slurm.jobs(ended=True) == []
    pool.start_worker("second")
    state = orphaned.wait_state("Crashed")
    assert f"SLURM no longer knows job {job}" in (state.message or "")


@pytest.mark.fault
def test_a_run_that_said_itself_that_it_completed_stays_so(pool: Pool, orphaned: Run):
    orphaned.go_on()
    orphaned.wait_state("Completed")
    pool.slurm.wait_empty()
    pool.slurm.kill_controller()
    pool.slurm.revive_controller(forget_jobs=True)
    pool.start_worker("second")
    other = pool.start("stay/plain")
    other.wait_state("Completed")
    assert orphaned.state.name == "Completed"
    assert len(orphaned.lines("started")) == 1
    assert orphaned.jobs() == []


@pytest.mark.slow
def test_a_run_whose_job_is_queued_already_gets_no_second(pool: Pool):
    pool.kill_workers()
    run = pool.start("stay/plain")
    command = shlex.join([sys.executable, "-m", "prefect.engine", str(run.id)])
    job = pool.slurm.sbatch(f"#!/bin/bash\nsleep 8\nexec {command}\n", f"--job-name=axonloom-{run.id}")
    pool.start_worker("second")
    run.wait_state("Completed")
    assert run.jobs() == [job]
    assert run.read().infrastructure_pid == job


@pytest.mark.fault
def test_a_run_that_its_worker_never_submitted_is_scheduled_anew(pool: Pool):
    pool.kill_workers()
    run = pool.start("stay/plain")
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, Pending())

    async def look(lost_after: float) -> None:
        async with SlurmWorker(POOL, name="looker") as worker:
            worker.lost_after = lost_after
            await worker.adopt()

    asyncio.run(look(3600))
    assert run.state.name == "Pending"
    asyncio.run(look(0))
    assert run.state.name == "Scheduled"
    pool.start_worker("second")
    run.wait_state("Completed")
    assert len(run.jobs()) == 1


@pytest.mark.fault
def test_a_worker_that_is_stopped_leaves_its_jobs_alone(pool: Pool):
    if not pool.workers:
        pool.start_worker("third")
    run = pool.start("stay/plain", seconds=600)
    job = run.wait_inside()
    (worker,) = pool.workers
    os.kill(worker.pid, signal.SIGTERM)
    worker.wait(timeout=30)
    pool.kill_workers()
    assert pool.slurm.job(job).state == "RUNNING"
    assert run.state.name == "Running"
    pool.start_worker("fourth")
    run.go_on()
    run.wait_state("Completed")
    assert run.jobs() == [job]
