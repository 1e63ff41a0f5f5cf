"""The worker against a real SLURM and a real Prefect server: what happens to jobs, and what their runs say."""

from __future__ import annotations

import pytest

from tests.deployments.slurm.conftest import Pool, Run


@pytest.fixture(scope="module")
def run_past_its_limit(pool: Pool) -> Run:
    """A run with a time limit of a minute, SLURM's shortest: it passes during the other tests."""
    pool.deploy("short", time_limit="00:01:00")
    return pool.start("stay/short", seconds=600)


@pytest.fixture(autouse=True)
def _started(run_past_its_limit: Run) -> None:
    """Its minute begins with the first test."""


@pytest.mark.slow
def test_a_run_is_one_job_from_pending_to_completed(pool: Pool):
    run = pool.start("stay/plain")
    assert run.wait_state("Completed", "Crashed", "Failed").name == "Completed", run.log()
    (job,) = run.jobs()
    assert run.read().infrastructure_pid == job
    pool.slurm.wait_for(lambda: pool.slurm.job(job).state == "COMPLETED", "the job completes")
    assert run.lines("finished") == [f"{job} 0"]
    run.wait_log(f"SLURM job {job} was submitted")
    assert (pool.folder / "logs %d" / f"axonloom-{run.id}-{job}.out").exists()


@pytest.mark.slow
def test_slurm_gets_what_the_form_says(pool: Pool):
    pool.deploy(
        "everything",
        partition="gpu",
        account="lab",
        time_limit="0-01:30:00",
        memory="700M",
        cpus=2,
        gpus=1,
        gpu_type="fake",
        constraint="made&n1",
        extra=["--nice=5"],
        setup=["export SET_UP='by the pool'", "echo prepared with $SLURM_GPUS_ON_NODE GPU"],
        env={"PASSED": "a,b 'c'"},
        working_dir=str(pool.folder),
        name="a name | for people",
    )
    run = pool.start("stay/everything", told=["SET_UP", "PASSED", "PWD"])
    run.wait_state("Completed")
    (job,) = run.jobs()
    told = pool.slurm.run("scontrol", "show", "job", job)
    for wanted in (
        "Partition=gpu",
        "Account=lab",
        "TimeLimit=01:30:00",
        "MinMemoryNode=700M",
        "NumCPUs=2",
        "gres:gpu:fake:1",
        "Features=made&n1",
        "Nice=5",
        f"WorkDir={pool.folder}",
        "Comment=axonloom a name _ for people",
    ):
        assert wanted in told
    assert run.lines("told") == ["by the pool", "a,b 'c'", str(pool.folder)]
    log = (pool.folder / "logs %d" / f"axonloom-{run.id}-{job}.out").read_text()
    assert "prepared with 1 GPU" in log
    assert not list((pool.folder / "logs %d").glob("*.sh"))


@pytest.mark.slow
def test_a_refused_submission_is_told_in_the_words_of_sbatch(pool: Pool):
    pool.deploy("nowhere", partition="nowhere")
    run = pool.start("stay/nowhere")
    assert "invalid partition specified: nowhere" in (run.wait_state("Crashed").message or "")


@pytest.mark.slow
def test_a_set_up_that_fails_is_told(pool: Pool):
    pool.deploy("broken", setup=["echo no such module: cuda/99", "exit 3"])
    run = pool.start("stay/broken")
    assert "its command ended with exit code 3" in (run.wait_state("Crashed").message or "")
    run.wait_log("no such module: cuda/99")


@pytest.mark.fault
def test_a_wait_without_hope_ends(pool: Pool):
    pool.deploy("late", extra=["--begin=now+1hour"], queue_limit_hours=1 / 3600)
    run = pool.start("stay/late")
    assert "waited in the queue longer than" in (run.wait_state("Crashed").message or "")
    (job,) = run.jobs()
    pool.slurm.wait_for(lambda: pool.slurm.job(job).state == "CANCELLED", "the job is taken out")


@pytest.mark.slow
def test_scancel_is_a_crash_and_a_retry_completes(pool: Pool):
    run = pool.start("stay/plain", seconds=600, last_words="the last words of the job")
    job = run.wait_inside()
    pool.slurm.run("scancel", job)
    run.wait(lambda: "cancelled with scancel" in (run.state.message or ""), "told why")
    assert run.state.name == "Crashed"
    run.wait_log("the last words of the job")
    run.go_on()
    run.retry()
    assert run.wait_state("Completed").name == "Completed"
    (second,) = set(run.jobs()) - {job}
    assert run.lines("finished") == [f"{second} 0"]


@pytest.mark.slow
def test_cancelling_in_prefect_reaches_scancel(pool: Pool):
    run = pool.start("stay/plain", seconds=600)
    job = run.wait_inside()
    run.cancel()
    run.wait_state("Cancelled")
    pool.slurm.wait_for(lambda: pool.slurm.job(job).state == "CANCELLED", "the job is cancelled")
    assert run.lines("finished") == []


@pytest.mark.fault
def test_cancelling_a_run_that_waits_in_the_queue(pool: Pool):
    pool.deploy("wide", cpus=4, extra=["--nodelist=n4", "--exclusive"])
    pool.slurm.run("scontrol", "update", "nodename=n4", "state=drain", "reason=test")
    try:
        run = pool.start("stay/wide")
        run.wait_log("waits in the queue")
        run.cancel()
        run.wait_state("Cancelled")
        (job,) = run.jobs()
        assert pool.slurm.job(job).state == "CANCELLED"
    finally:
        pool.slurm.run("scontrol", "update", "nodename=n4", "state=resume")
    assert run.lines("started") == []


@pytest.mark.slow
def test_a_requeued_job_goes_on_under_its_own_number(pool: Pool):
    run = pool.start("stay/plain", seconds=600)
    job = run.wait_inside()
    pool.slurm.run("scontrol", "requeue", job)
    assert run.wait_inside(2) == job
    run.go_on()
    run.wait_state("Completed")
    assert [line.split()[:2] for line in run.lines("started")] == [[job, "0"], [job, "1"]]
    assert run.lines("finished") == [f"{job} 0"]
    run.wait_log("waits again in the queue")


@pytest.mark.slow
def test_a_job_killed_for_its_memory_says_so(pool: Pool):
    run = pool.start("stay/plain", seconds=600, megabytes=1000)
    run.wait_state("Crashed")
    assert "more memory than it asked for (600M)" in (run.state.message or "")
    run.wait_log("exceeded memory limit")


@pytest.mark.fault
def test_a_preempted_run_waits_and_goes_on(pool: Pool):
    pool.deploy("scavenge", partition="scavenge", cpus=4, extra=["--nodelist=n3"])
    run = pool.start("stay/scavenge", seconds=600)
    job = run.wait_inside()
    rival = pool.slurm.sbatch("#!/bin/bash\nsleep 5\n", "--partition=main", "--cpus-per-task=4", "--nodelist=n3")
    pool.slurm.wait_for(lambda: pool.slurm.job(rival).state in ("RUNNING", "COMPLETED"), "the rival gets the node")
    run.wait_inside(2)
    run.go_on()
    run.wait_state("Completed")
    assert run.jobs() == [job]
    assert run.lines("finished") == [f"{job} 0"]


@pytest.mark.fault
def test_a_dead_node_gives_its_run_to_another(pool: Pool):
    run = pool.start("stay/plain", seconds=600)
    job = run.wait_inside()
    node = pool.slurm.job(job).nodes
    pool.slurm.kill_node(node)
    try:
        assert run.wait_inside(2) == job
        assert pool.slurm.job(job).nodes != node
        run.go_on()
        run.wait_state("Completed")
    finally:
        pool.slurm.revive_node(node)
    assert run.lines("finished") == [f"{job} 0"]


@pytest.mark.fault
def test_a_controller_that_is_away_for_a_while_loses_nothing(pool: Pool):
    run = pool.start("stay/plain", seconds=600)
    job = run.wait_inside()
    # In order: one that is killed within seconds of a submission has not written it down, and forgets the job.
    pool.slurm.run("scontrol", "shutdown", "slurmctld")
    try:
        waiting = pool.start("stay/plain")
        waiting.wait_log("Not submitted yet", limit=120)
    finally:
        pool.slurm.revive_controller()
    waiting.wait_state("Completed")
    run.go_on()
    run.wait_state("Completed")
    assert run.jobs() == [job]
    assert len(waiting.jobs()) == 1


@pytest.mark.slow
def test_a_time_limit_is_named(run_past_its_limit: Run):
    run = run_past_its_limit
    run.wait(lambda: "time limit (00:01:00)" in (run.state.message or ""), "told why", limit=180)
    assert run.state.name == "Crashed"
    run.wait_log("DUE TO TIME LIMIT")
