"""Batches, caching, failures and retries, through a real server."""

from __future__ import annotations

import time

import pytest

from axonloom.config.compute import ComputeSettings
from tasks.batches import batches

pytestmark = pytest.mark.flow

LOCAL = ComputeSettings(workers=2)


@pytest.fixture
def toy(prefect_api):
    from tests.flows import toy

    return toy


def task_states(flow_name: str, expected: int) -> list[str]:
    """Names of the final states of the ``expected`` task runs of the newest run of a flow."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter, FlowRunFilterId
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        (newest,) = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow_name])), sort=FlowRunSort.START_TIME_DESC, limit=1
        )
        give_up = time.monotonic() + 20
        while True:
            runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[newest.id])))
            states = [run.state.name for run in runs if run.state is not None]
            # Task states reach the database through a queue of events, a little after the flow's own.
            ended = [s for s in states if s in ("Completed", "Cached", "Failed")]
            if len(ended) == len(states) == expected or time.monotonic() > give_up:
                return states
            time.sleep(0.2)


def test_batches_cover_each_block_once_and_depend_on_the_grid_alone(toy, tmp_path):
    for blocks in (1, 2, 15, 16, 17, 100, 5000, 40_000):
        plan = toy.ToyStage.planned(tmp_path, blocks)
        found = batches(plan)
        assert [b for batch in found for b in batch.blocks] == list(range(blocks))
        assert len(found) <= 2000
        assert [batch.number for batch in found] == list(range(len(found)))


def test_a_second_run_computes_nothing_and_shows_cached(toy, tmp_path):
    assert toy.toy(str(tmp_path), 20, LOCAL) == {"computed": 20, "done_before": 0}
    count = len(batches(toy.ToyStage.planned(tmp_path, 20)))
    assert task_states("toy", count) == ["Completed"] * count
    assert toy.toy(str(tmp_path), 20, LOCAL) == {"computed": 0, "done_before": 20}
    assert task_states("toy", count) == ["Cached"] * count


def test_where_cache_and_ledger_disagree_the_ledger_wins(toy, tmp_path):
    toy.toy(str(tmp_path), 20, LOCAL)
    plan = toy.ToyStage.planned(tmp_path, 20)
    for path in plan.ledger.folder.iterdir():
        path.unlink()
    assert toy.toy(str(tmp_path), 20, LOCAL) == {"computed": 20, "done_before": 0}


def test_a_block_that_raises_is_reported_and_the_others_finish(toy, tmp_path):
    from tasks.run_stage import StageFailedError

    for block in (3, 17):
        (tmp_path / f"poison-{block}").touch()
    with pytest.raises(StageFailedError, match="2 of 40 blocks failed") as caught:
        toy.toy(str(tmp_path), 40, LOCAL)
    assert set(caught.value.report.failed) == {3, 17}
    assert "ValueError: block 3 is poisoned" in caught.value.report.failed[3]
    state = toy.ToyStage.planned(tmp_path, 40).ledger.read()
    assert state.done == set(range(40)) - {3, 17}
    for block in (3, 17):
        (tmp_path / f"poison-{block}").unlink()
    assert toy.toy(str(tmp_path), 40, LOCAL) == {"computed": 2, "done_before": 38}


def test_an_error_that_may_pass_is_tried_again_and_nothing_runs_twice(toy, tmp_path):
    (tmp_path / "flaky-5").touch()
    assert toy.toy(str(tmp_path), 20, LOCAL)["computed"] == 20
    state = toy.ToyStage.planned(tmp_path, 20).ledger.read()
    assert not state.failed
    assert {b for b, n in state.started.items() if n > 1} == {5}
    assert set(state.completions.values()) == {1}


def test_a_full_disk_stops_the_stage_and_blames_no_block(toy, tmp_path):
    from axonloom.runner import StoppedError

    (tmp_path / "full-3").touch()
    with pytest.raises(StoppedError, match="the disk is full"):
        toy.toy(str(tmp_path), 40, LOCAL)
    state = toy.ToyStage.planned(tmp_path, 40).ledger.read()
    assert not state.failed
    assert 3 not in state.done
    (tmp_path / "full-3").unlink()
    assert toy.toy(str(tmp_path), 40, LOCAL)["computed"] == 40 - len(state.done)
