"""The worker against a real SLURM and a real Prefect server: what happens to jobs, and what their runs say."""

from __future__ import annotations

import pytest

from tests.deployments.slurm.conftest import Pool

pytestmark = pytest.mark.slow


def test_a_run_is_one_job_from_pending_to_completed(pool: Pool):
    run = pool.start("stay/plain")
    assert run.wait_state("Completed", "Crashed", "Failed").name == "Completed", run.log()
    (job,) = run.jobs()
    assert run.read().infrastructure_pid == job
    pool.slurm.wait_for(lambda: pool.slurm.job(job).state == "COMPLETED", "the job completes")
    assert run.lines("finished") == [f"{job} 0"]
    assert f"SLURM job {job} was submitted" in run.log()
    assert (pool.folder / "logs %d" / f"axonloom-{run.id}-{job}.out").exists()
