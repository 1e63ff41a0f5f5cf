"""A disk that fills: the run stops with one sentence, blames no block, and goes on when there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.harness import Trial
from tests.faults.small_disk import SmallDisk

#: A run takes ten seconds on an idle machine, and several minutes on a busy one.
pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]


def may_mount() -> bool:
    if os.geteuid() != 0:
        return False
    return (
        subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode
        == 0
    )


@pytest.fixture
def disk(tmp_path) -> Iterator[Callable[[Path, int], SmallDisk]]:
    if not may_mount():
        pytest.skip("needs the right to mount a small file system")
    with ExitStack() as stack:
        yield lambda folder, megabytes: stack.enter_context(SmallDisk(folder, megabytes))


#: At which block (over all stages) the disk fills, and how many bytes stay: nothing even for a line of the ledger, room for
#: lines but not for a chunk, for a chunk but not for all, and in each of the stages: chunks, tables, a new stage's plan.
MOMENTS = [(3, 0), (12, 60_000), (30, 300_000), (50, 0), (72, 8_000), (80, 60_000), (100, 0), (114, 8_000)]


def require_stopped_for_a_full_disk(trial: Trial, result) -> None:
    assert result.code == 3, result.output
    assert "Traceback" not in result.output
    said = [line for line in result.output.splitlines() if line.startswith(("stopped:", "error:"))]
    assert len(said) == 1, result.output
    assert "full" in said[0] or "room" in said[0]
    assert not any(state.failed for state in trial.states().values())


@pytest.mark.parametrize(
    ("blocks", "but"), [pytest.param(*MOMENTS[1], marks=pytest.mark.slow), MOMENTS[0], *MOMENTS[2:]]
)
def test_of_the_workspace(trial, undisturbed, disk, tmp_path, blocks, but):
    on_it = disk(tmp_path / "small", 24)
    one = trial(folder=tmp_path / "small" / "trial", log_folder=tmp_path)
    run = one.start()
    run.until(blocks)
    on_it.fill(but)
    require_stopped_for_a_full_disk(one, run.end())
    before = one.states()
    on_it.make_room()
    one.finish(before)
    one.require_whole(undisturbed)


@pytest.mark.parametrize(("blocks", "but"), [(76, 0), (90, 100_000), (112, 0)])
def test_of_the_segmentation(trial, undisturbed, disk, tmp_path, blocks, but):
    on_it = disk(tmp_path / "small", 24)
    one = trial(layer=tmp_path / "small" / "layer")
    run = one.start()
    run.until(blocks)
    on_it.fill(but)
    require_stopped_for_a_full_disk(one, run.end())
    before = one.states()
    on_it.make_room()
    one.finish(before)
    one.require_whole(undisturbed)


def test_that_is_too_small_from_the_start(trial, undisturbed, disk, tmp_path):
    on_it = disk(tmp_path / "small", 24)
    on_it.fill(200_000)
    one = trial(folder=tmp_path / "small" / "trial", log_folder=tmp_path)
    require_stopped_for_a_full_disk(one, one.start().end())
    on_it.make_room()
    one.finish()
    one.require_whole(undisturbed)


def test_on_dask(trial, undisturbed, disk, tmp_path):
    on_it = disk(tmp_path / "small", 24)
    one = trial(
        folder=tmp_path / "small" / "trial", log_folder=tmp_path, more={"compute": {"workers": 2, "on": "dask"}}
    )
    run = one.start()
    run.until(6)
    on_it.fill()
    require_stopped_for_a_full_disk(one, run.end())
    before = one.states()
    on_it.make_room()
    one.finish(before)
    one.require_whole(undisturbed)
