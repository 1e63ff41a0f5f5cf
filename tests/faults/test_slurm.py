"""What a cluster does to runs: jobs cancelled, requeued, out of time or memory, nodes and workers that die. A real SLURM.

First flow runs that are a SLURM job each, from the work pool; then runs that spread their batches over jobs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from axonloom.config.load import load_configuration
from tests.faults.harness import TAG, Trial
from tests.station import Station, until

#: A run takes ten seconds on an idle machine, and several minutes on a busy one.
pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]

#: A job of a run: reconstructing the small volume takes some 500 MB.
JOB = {"memory": "2000M", "cpus": 2, "poll_seconds": 1.0}
PROFILE = {"cores": 1, "memory": "950MB", "max_jobs": 2, "time": 10}
SPREAD = {"compute": {"on": "slurm", "profiles": {"cpu": PROFILE}}}


class Pool:
    """A server with the deployments of ``axonloom deploy``, and a worker of its pool ``slurm``."""

    def __init__(self, folder: Path, slurm: Any) -> None:
        self.station = Station(folder / "home", folder / "runs")
        self.slurm = slurm
        self.folder = folder
        self._worker: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        self.station.up()
        done = self.station.axonloom("deploy")
        assert done.returncode == 0, done.stdout + done.stderr
        self.start_worker()

    def start_worker(self) -> None:
        with (self.folder / "worker.log").open("ab") as log:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "prefect", "worker", "start", "--pool", "slurm", "--type", "axonloom-slurm"],
                env={
                    **self.station.environment,
                    **self.slurm.environment,
                    "PREFECT_API_URL": self.station.api,
                    "PREFECT_WORKER_QUERY_SECONDS": "1",
                    "PREFECT_WORKER_HEARTBEAT_SECONDS": "3",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill_worker(self) -> None:
        assert self._worker is not None
        os.killpg(self._worker.pid, signal.SIGKILL)
        self._worker.wait()

    def down(self) -> None:
        self.kill_worker()
        self.station.down()
        for process in self.station.processes():
            process.kill()

    def submit(self, trial: Trial, at: Mapping[str, Any] | None = None, **job: Any) -> PoolRun:
        configuration = load_configuration(trial.config).model_dump(mode="json", exclude_unset=True)
        given = trial.environment(at)
        environment = {name: given[name] for name in ("PYTHONPATH", "AXONLOOM_FAULT", TAG)}
        deployment = self.station.deployment("reconstruct/slurm")
        run = self.station.post(
            f"deployments/{deployment['id']}/create_flow_run",
            parameters={"configuration": configuration},
            job_variables={**JOB, "env": {**deployment["job_variables"]["env"], **environment}, **job},
        )
        return PoolRun(self, trial, run["id"])


class PoolRun:
    """A flow run that is a SLURM job."""

    def __init__(self, pool: Pool, trial: Trial, run: str) -> None:
        self.pool, self.trial, self.run = pool, trial, run

    def job(self) -> str:
        """The number of its job, once it is in the queue."""
        found = until(
            lambda: [job for job in self.pool.slurm.jobs() if self.run in job.name or self.run in job.comment], bool
        )
        return found[0].id

    def until(self, blocks: int) -> None:
        until(self.trial.done, lambda done: done >= blocks)

    def ends(self, *types: str) -> dict[str, Any]:
        return self.pool.station.wait_for(self.run, *types)

    def retry(self) -> None:
        """What the button *Retry* in the browser does."""
        answer = self.pool.station.post(
            f"flow_runs/{self.run}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"}, force=False
        )
        assert answer["status"] == "ACCEPT", answer


@pytest.fixture(scope="module")
def pool(slurm, tmp_path_factory) -> Iterator[Pool]:
    own = Pool(tmp_path_factory.mktemp("pool"), slurm)
    try:
        own.up()
        yield own
    finally:
        own.down()


def require_retry_finishes(run: PoolRun, expected) -> None:
    trial = run.trial
    run.pool.slurm.wait_empty(limit=120)
    # The flow said so itself when it was asked to end; its worker says why, once the job is gone.
    until(lambda: run.pool.station.state(run.run), lambda state: "SLURM job" in (state["message"] or ""))
    before = trial.states()
    run.retry()
    run.ends("COMPLETED")
    trial.require_not_twice(before)
    run.pool.slurm.wait_empty(limit=30)
    trial.require_whole(expected)


def test_a_runs_job_is_cancelled(pool, trial, undisturbed):
    run = pool.submit(trial())
    run.until(20)
    pool.slurm.run("scancel", run.job())
    run.ends("CRASHED")
    require_retry_finishes(run, undisturbed)


def test_all_jobs_are_cancelled(pool, trial, undisturbed):
    run = pool.submit(trial(more={"compute": {**SPREAD["compute"]}}))
    run.until(6)
    pool.slurm.run("scancel", *[job.id for job in pool.slurm.jobs()])
    run.ends("CRASHED")
    require_retry_finishes(run, undisturbed)


def test_a_runs_job_is_requeued(pool, trial, undisturbed):
    run = pool.submit(trial())
    run.until(20)
    before = run.trial.states()
    pool.slurm.run("scontrol", "requeue", run.job())
    run.ends("COMPLETED")
    pool.slurm.wait_empty(limit=30)
    run.trial.require_not_twice(before)
    run.trial.require_whole(undisturbed)


def test_a_runs_job_hits_its_time_limit(pool, trial, undisturbed):
    # The limit is one minute, the least that there is: the run is made to last longer.
    one = trial(seconds={"fragment": 6.0})
    run = pool.submit(one, time_limit="00:01:00")
    run.ends("CRASHED")
    pool.slurm.wait_empty(limit=120)
    state = until(lambda: pool.station.state(run.run), lambda found: "SLURM job" in (found["message"] or ""))
    assert "time" in state["message"].lower(), state
    before = one.states()
    assert before[one.plan("fragment").fingerprint].done
    # Each job does what fits into its minute; the last one finds nothing left that takes long.
    retries = 0
    while state["type"] == "CRASHED":
        run.retry()
        until(lambda: pool.station.state(run.run)["type"], lambda kind: kind != "CRASHED")
        state = run.ends("COMPLETED", "CRASHED")
        pool.slurm.wait_empty(limit=120)
        retries += 1
        assert retries < 6
    one.require_not_twice(before)
    pool.slurm.wait_empty(limit=30)
    one.require_whole(undisturbed)


def test_a_runs_job_is_killed_for_its_memory(pool, trial, undisturbed):
    run = pool.submit(trial(), at={"stage": "fragment", "block": 20, "do": "swell"})
    run.ends("CRASHED")
    pool.slurm.wait_empty(limit=120)
    state = until(lambda: pool.station.state(run.run), lambda found: "SLURM job" in (found["message"] or ""))
    assert "memory" in state["message"].lower(), state
    require_retry_finishes(run, undisturbed)


def test_the_prefect_worker_is_killed(pool, trial, undisturbed):
    """Its jobs go on; the next worker finds them."""
    run = pool.submit(trial())
    run.until(10)
    before = run.trial.states()
    pool.kill_worker()
    time.sleep(5)
    pool.start_worker()
    run.ends("COMPLETED")
    run.trial.require_not_twice(before)
    pool.slurm.wait_empty(limit=30)
    run.trial.require_whole(undisturbed)


def test_the_whole_lot_is_killed(pool, trial, undisturbed):
    """Worker and job at once: nobody is left to tell the server, until a worker is."""
    run = pool.submit(trial())
    run.until(20)
    pool.kill_worker()
    # Not scancel --signal=KILL: SLURM makes an end in order of it, of which the flow can tell the server.
    run.trial.kill_all()
    pool.slurm.wait_empty(limit=60)
    pool.start_worker()
    run.ends("CRASHED", "FAILED")
    require_retry_finishes(run, undisturbed)


@pytest.mark.parametrize("victims", ["one", "all"])
def test_jobs_of_batches_are_cancelled_and_the_run_goes_on(trial, empty_slurm, undisturbed, victims):
    one = trial(more=SPREAD)
    run = one.start()
    run.until(6)
    before = one.states()
    jobs = [job.id for job in empty_slurm.jobs()]
    empty_slurm.run("scancel", *(jobs if victims == "all" else jobs[:1]))
    result = run.end()
    assert result.code == 0, result.output
    one.require_not_twice(before)
    empty_slurm.wait_empty(limit=30)
    one.require_whole(undisturbed)


def test_a_node_dies_under_batches(trial, empty_slurm, undisturbed):
    one = trial(more=SPREAD)
    run = one.start()
    run.until(6)
    before = one.states()
    node = next(job.nodes for job in empty_slurm.jobs() if job.state == "RUNNING")
    empty_slurm.kill_node(node)
    try:
        result = run.end()
        assert result.code == 0, result.output
        one.require_not_twice(before)
    finally:
        empty_slurm.revive_node(node)
    empty_slurm.wait_empty(limit=60)
    one.require_whole(undisturbed)


def test_a_job_of_batches_is_killed_for_its_memory(trial, empty_slurm, undisturbed):
    one = trial(more=SPREAD)
    result = one.start(at={"stage": "fragment", "block": 20, "do": "swell"}).end()
    if result.code == 1:
        one.finish()
    else:
        assert result.code == 0, result.output
    empty_slurm.wait_empty(limit=30)
    one.require_whole(undisturbed)


def test_the_flow_dies_and_its_jobs_go_by_themselves(trial, empty_slurm, undisturbed):
    one = trial(more=SPREAD)
    run = one.start()
    run.until(6)
    run.kill()
    empty_slurm.wait_empty(limit=150)
    one.require_gone()
    before = one.states()
    one.finish(before)
    empty_slurm.wait_empty(limit=30)
    one.require_whole(undisturbed)
