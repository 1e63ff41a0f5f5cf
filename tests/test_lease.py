"""The lease on an output that a user named."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from axonloom.lease import LeaseHeldError, claim
from axonloom.runner import LeaseLostError

HOLD = """
import sys, time
from pathlib import Path
from axonloom.lease import claim
print(claim(Path(sys.argv[1]), "theirs").token, flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "out.lease")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "1"
    yield process
    process.kill()
    process.wait()


def test_a_living_holder_keeps_its_output(tmp_path, holder):
    with pytest.raises(LeaseHeldError, match=f"process {holder.pid}"):
        claim(tmp_path / "out.lease", "mine")


def test_a_killed_holder_loses_it_and_its_token_is_void(tmp_path, holder):
    holder.kill()
    holder.wait()
    lease = claim(tmp_path / "out.lease", "mine")
    assert lease.token == 2
    lease.require()
    with pytest.raises(LeaseLostError, match="may not write"):
        replace(lease, claim_id="of the one that was killed").require()


def test_a_broken_lease_stops_the_old_holder(tmp_path, holder):
    lease = claim(tmp_path / "out.lease", "mine", break_lease=True)
    assert lease.token == 2
    lease.require()


def test_a_released_lease_is_free_and_tokens_grow(tmp_path):
    first = claim(tmp_path / "out.lease", "a")
    first.release()
    second = claim(tmp_path / "out.lease", "b")
    assert (first.token, second.token) == (1, 2)


def test_a_lease_file_deleted_by_hand_still_stops_the_old_holder(tmp_path):
    old = claim(tmp_path / "out.lease", "a")
    (tmp_path / "out.lease").unlink()
    new = claim(tmp_path / "out.lease", "b")
    assert new.token == old.token
    new.require()
    with pytest.raises(LeaseLostError):
        old.require()
