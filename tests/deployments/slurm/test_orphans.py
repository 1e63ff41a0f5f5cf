"""What is to be done about runs that no worker follows."""

import datetime

import pytest
from prefect.states import Cancelling, Crashed, Pending, Running

from blocks.slurm_answers import QueuedJob
from deployments.slurm.orphans import Action, Decision, decide, jobs_by_run

NOW = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
RUN = "0123abcd-0000-0000-0000-000000000000"


def job(id, state):
    return QueuedJob(str(id), f"axonloom-{RUN}", state, "")


@pytest.mark.parametrize(
    ("state", "jobs", "recorded", "submitted", "expected"),
    [
        # A living job is followed whatever the run says, the newest of several.
        (Running, [job(9, "RUNNING")], None, None, Decision(Action.FOLLOW, "9")),
        (
            Crashed,
            [job(9, "PENDING"), job(10, "PENDING"), job(11, "FAILED")],
            "11",
            None,
            Decision(Action.FOLLOW, "10"),
        ),
        (Pending, [job(9, "COMPLETING")], None, None, Decision(Action.FOLLOW, "9")),
        # An ended one is followed to its verdict, also when only Prefect remembers it.
        (Running, [job(9, "FAILED"), job(10, "TIMEOUT")], "9", None, Decision(Action.FOLLOW, "10")),
        (Running, [], "9", None, Decision(Action.FOLLOW, "9")),
        (Cancelling, [], "9", None, Decision(Action.FOLLOW, "9")),
        # The job of an earlier try says nothing about a run that is Pending again.
        (Pending, [job(9, "FAILED")], "9", NOW - 2 * HOUR, Decision(Action.SCHEDULE)),
        (Pending, [job(9, "FAILED")], "9", NOW - HOUR / 2, Decision(Action.FOLLOW, "9")),
        (Pending, [], "9", None, Decision(Action.SCHEDULE)),
        (Pending, [], None, None, Decision(Action.SCHEDULE)),
        # Without any job.
        (Running, [], None, None, Decision(Action.CRASH)),
        (Cancelling, [], None, None, Decision(Action.CANCEL)),
    ],
)
def test_decisions(state, jobs, recorded, submitted, expected):
    an_hour_old = state(timestamp=NOW - HOUR)
    assert decide(an_hour_old, jobs, recorded, submitted, NOW, lost_after=180) == expected


def test_a_run_that_was_taken_a_moment_ago_is_left_to_its_worker():
    just_taken = Pending(timestamp=NOW - datetime.timedelta(seconds=100))
    assert decide(just_taken, [], None, None, NOW, lost_after=180).action is Action.LEAVE


def test_jobs_of_others_are_left_out():
    other = QueuedJob("3", "axonloom-dask-worker", "RUNNING", "")
    assert [list(map(str, found)) for found in [jobs_by_run([job(9, "RUNNING"), other, job(10, "FAILED")])]] == [[RUN]]
