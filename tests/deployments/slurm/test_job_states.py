"""What a state means, and how an end is put into words."""

import pytest

from deployments.slurm.job_states import Meaning, cause_of, meaning_of

FIELDS = {"ExitCode": "0:0", "TimeLimit": "12:00:00", "MinMemoryNode": "16G", "NodeList": "n7", "Reason": "None"}


@pytest.mark.parametrize(
    ("state", "meaning"),
    [
        ("PENDING", Meaning.WAITING),
        ("REQUEUE_HOLD", Meaning.WAITING),
        ("RUNNING", Meaning.RUNNING),
        ("SUSPENDED", Meaning.RUNNING),
        ("COMPLETING", Meaning.ENDING),
        ("COMPLETED", Meaning.COMPLETED),
        ("NODE_FAIL", Meaning.FAILED),
        ("TIMEOUT", Meaning.FAILED),
        ("A_STATE_OF_SLURM_31", Meaning.RUNNING),
    ],
)
def test_meanings(state, meaning):
    assert meaning_of(state) is meaning


@pytest.mark.parametrize(
    ("state", "exit_code", "log", "cause"),
    [
        ("TIMEOUT", "0:15", "", "it reached its time limit (12:00:00)"),
        ("OUT_OF_MEMORY", "0:125", "", "it used more memory than it asked for (16G)"),
        ("FAILED", "0:9", "error: exceeded memory limit (2 > 1)", "it used more memory than it asked for (16G)"),
        ("FAILED", "0:9", "", "its command was ended by signal 9 (often for its memory)"),
        ("FAILED", "0:11", "", "its command was ended by signal 11"),
        ("FAILED", "3:0", "", "its command ended with exit code 3"),
        ("NODE_FAIL", "0:0", "", "its node (n7) failed"),
        ("SOMETHING_NEW", "0:0", "", "it ended in state SOMETHING_NEW"),
    ],
)
def test_causes(state, exit_code, log, cause):
    assert cause_of(state, FIELDS | {"ExitCode": exit_code}, log) == cause
