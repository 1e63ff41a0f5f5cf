"""kill -9 of what computes: the flow's process, a process of a Dask cluster, everything at once."""

from __future__ import annotations

import signal

import psutil
import pytest

#: A run takes ten seconds on an idle machine, and several minutes on a busy one.
pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]

DASK = {"compute": {"workers": 2, "on": "dask"}}
#: Blocks with a line, over all stages, when the fault comes: in each stage, and near the very end.
MOMENTS = [1, 20, 45, 72, 90, 115]


def dask_workers(trial) -> list[psutil.Process]:
    """The processes that compute in a Dask cluster on this machine: those that the flow's process spawned."""
    return [p for p in trial.processes() if any("spawn_main" in word for word in p.cmdline())]


@pytest.mark.parametrize("blocks", [pytest.param(20, marks=pytest.mark.slow), *(m for m in MOMENTS if m != 20)])
def test_the_flows_process_is_killed(trial, undisturbed, blocks):
    one = trial()
    run = one.start()
    run.until(blocks)
    run.kill()
    before = one.states()
    assert one.finish(before) <= 2
    one.require_whole(undisturbed)


@pytest.mark.parametrize(("stage", "block"), [("fragment", 4), ("apply", 4), ("pyramid", 4), ("segments", 0)])
def test_the_process_dies_inside_a_block_after_its_output_and_before_its_line(trial, undisturbed, stage, block):
    one = trial()
    result = one.start(at={"stage": stage, "block": block, "do": "die"}).end()
    assert result.code == -signal.SIGKILL
    before = one.states()
    assert block not in before[one.plan(stage).fingerprint].done
    assert 1 <= one.finish(before) <= 2
    one.require_whole(undisturbed)


def test_killed_again_and_again(trial, undisturbed):
    one = trial()
    for blocks in (10, 40, 80, 110):
        run = one.start()
        run.until(blocks)
        run.kill()
    one.finish()
    one.require_whole(undisturbed)


def test_a_dask_worker_is_killed_and_the_run_goes_on(trial, undisturbed):
    one = trial(more=DASK)
    run = one.start()
    run.until(6)
    victim = dask_workers(one)[0]
    before = one.states()
    victim.kill()
    result = run.end()
    assert result.code == 0, result.output
    one.require_not_twice(before)
    one.require_whole(undisturbed)


def test_all_dask_workers_are_killed_and_the_run_goes_on(trial, undisturbed):
    one = trial(more=DASK)
    run = one.start()
    run.until(6)
    victims = dask_workers(one)
    for victim in victims:
        victim.kill()
    result = run.end()
    assert result.code in (0, 1), result.output
    if result.code:
        one.finish()
    one.require_whole(undisturbed)


def test_a_dask_worker_dies_inside_a_block(trial, undisturbed):
    one = trial(more=DASK)
    result = one.start(at={"stage": "fragment", "block": 9, "do": "die"}).end()
    assert result.code == 0, result.output
    one.require_whole(undisturbed)


def test_the_flows_process_is_killed_and_its_dask_workers_go_by_themselves(trial, undisturbed):
    one = trial(more=DASK)
    run = one.start()
    run.until(6)
    run.kill()
    one.require_gone()
    before = one.states()
    one.finish(before)
    one.require_whole(undisturbed)


def test_the_whole_lot_is_killed(trial, undisturbed):
    """Flow, Dask workers and the server that the command line had started: as a power cut does it."""
    one = trial(api=None, more=DASK)
    run = one.start()
    run.until(30)
    one.kill_all()
    run.process.wait()
    before = one.states()
    one.finish(before)
    one.require_whole(undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_ends_in_order_within_half_a_minute(trial, undisturbed, number):
    one = trial()
    run = one.start()
    run.until(20)
    run.process.send_signal(number)
    result = run.end(within=30)
    assert result.code == 3, result.output
    assert "Traceback" not in result.output
    before = one.states()
    assert one.finish(before) <= 2
    one.require_whole(undisturbed)
