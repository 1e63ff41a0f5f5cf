"""What SLURM's commands answer, read."""

import asyncio
import stat
from pathlib import Path

import pytest

from blocks.slurm_answers import SlurmError, SlurmUnreachableError, parse_queue, parse_submission
from deployments.slurm import commands
from deployments.slurm.commands import parse_job

SHOW_JOB = (
    "JobId=2 JobName=axonloom-3f0c UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=4294901757 Nice=0 Account=(null) "
    "QOS=(null) JobState=FAILED Reason=JobLaunchFailure Dependency=(null) Requeue=1 Restarts=3 BatchFlag=1 Reboot=0 ExitCode=0:9 "
    "RunTime=00:00:02 TimeLimit=365-00:00:00 TimeMin=N/A SubmitTime=2026-01-21T07:21:57 NodeList=n1 NumNodes=1 "
    "ReqB:S:C:T=0:0:*:* TRES=cpu=1,mem=200M,node=1,billing=1 Socks/Node=* MinMemoryNode=200M OverSubscribe=OK "
    "Command=/home/a b/script.sh --set JobState=COMPLETED x=1 WorkDir=/home/a b Comment=axonloom infer StdErr=/x/log 1.out "
    "StdIn=/dev/null StdOut=/x/log 1.out Power="
)


def test_the_fields_of_a_job_may_hold_blanks_and_equal_signs():
    job = parse_job(SHOW_JOB)
    assert job is not None
    assert (job.id, job.name, job.state, job.restarts) == ("2", "axonloom-3f0c", "FAILED", 3)
    assert job.exit_code == -9
    assert job.submitted is not None
    assert job.submitted.timetuple()[:6] == (2026, 1, 21, 7, 21, 57)
    assert job.ended is None
    assert job.log == Path("/x/log 1.out")
    assert job.fields["TRES"] == "cpu=1,mem=200M,node=1,billing=1"
    assert job.fields["Command"] == "/home/a b/script.sh --set JobState=COMPLETED x=1"
    assert job.fields["ReqB:S:C:T"] == "0:0:*:*"


@pytest.mark.parametrize("output", ["", "\n", "slurm_load_jobs error: no"])
def test_no_job_is_read_where_none_is_told(output):
    assert parse_job(output) is None


def test_the_queue_is_read_whatever_names_people_give():
    jobs = parse_queue("12|PENDING|(Resources)|a|b = c\n13|RUNNING|n[1-2]|axonloom-x\n\nslurm: a warning\n")
    assert [(job.id, job.state, job.reason, job.name) for job in jobs] == [
        ("12", "PENDING", "Resources", "a|b = c"),
        ("13", "RUNNING", "n[1-2]", "axonloom-x"),
    ]


@pytest.mark.parametrize("output", ["17\n", "17;cluster\n", "sbatch: the partition is busy\n17\n"])
def test_the_number_of_a_submitted_job(output):
    assert parse_submission(output) == "17"


def test_an_answer_without_a_number_is_an_error():
    with pytest.raises(SlurmError, match="where a job id was expected"):
        parse_submission("Submitted batch job\n")


# Programs of that name, but of our making: how each kind of end is told apart does not depend on a cluster.


def _program(folder: Path, name: str, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\n" + body)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_a_refusal_is_told_from_a_controller_that_is_away(tmp_path, monkeypatch):
    _program(tmp_path, "sbatch", "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1", monkeypatch)
    with pytest.raises(SlurmError, match="invalid partition") as refused:
        asyncio.run(commands.submit([], tmp_path / "script", [], {"PATH": f"{tmp_path}:/bin"}))
    assert not isinstance(refused.value, SlurmUnreachableError)
    _program(
        tmp_path, "squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1", monkeypatch
    )
    with pytest.raises(SlurmUnreachableError):
        asyncio.run(commands.jobs_named("axonloom-"))


def test_a_command_that_never_answers_is_given_up(tmp_path, monkeypatch):
    _program(tmp_path, "squeue", "sleep 60", monkeypatch)
    monkeypatch.setattr(commands, "COMMAND_SECONDS", 0.2)
    with pytest.raises(SlurmUnreachableError, match=r"did not answer"):
        asyncio.run(commands.jobs_named("axonloom-"))


def test_an_unknown_job_is_none_and_cannot_be_cancelled(tmp_path, monkeypatch):
    for name in ("scontrol", "scancel"):
        _program(tmp_path, name, "echo 'slurm error: Invalid job id specified' >&2; exit 1", monkeypatch)
    assert asyncio.run(commands.show_job("7")) is None
    assert asyncio.run(commands.cancel("7")) is False


def test_a_machine_without_slurm_says_where_to_start_the_worker(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SlurmError, match="login node"):
        asyncio.run(commands.show_job("7"))
