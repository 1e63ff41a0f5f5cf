"""What happens beside the block that is processed: the next one is read, the former one is written."""

from __future__ import annotations

import threading

import pytest

from axonloom.config.failures import FailuresSettings
from axonloom.geometry import Block, BlockGrid, Box
from axonloom.runner import StoppedError, run_blocks
from axonloom.stage import Stage, StagePlan

BLOCKS = 5


class Slow(Stage):
    """Notes what it does when; ``breaks`` names (what, block) that fail."""

    name = "slow"
    version = 1

    def __init__(self, plan: StagePlan, breaks: tuple[str, int] | None = None) -> None:
        super().__init__(plan)
        self.breaks, self.read, self.written = breaks, {}, []
        self.next_is_processed = [threading.Event() for _ in range(BLOCKS + 1)]
        self.next_is_processed[BLOCKS].set()

    def may(self, what: str, block: Block) -> None:
        if self.breaks == (what, block.index):
            raise ValueError(f"{what} of block {block.index}")

    def ahead(self, block: Block) -> None:
        self.may("ahead", block)
        self.read[block.index] = threading.current_thread().name

    def process(self, block: Block):
        self.next_is_processed[block.index].set()
        self.may("process", block)

        def write():
            # Only while the next block is processed can this go on: without that, the test would wait for ever.
            assert self.next_is_processed[block.index + 1].wait(20)
            self.may("write", block)
            self.written.append(block.index)
            return {"number": block.index}

        return write


@pytest.fixture
def plan(tmp_path):
    plan = StagePlan("slow", 1, {}, {}, BlockGrid(Box.of_shape((1, 1, BLOCKS)), (1, 1, 1)), tmp_path)
    plan.save()
    return plan


def test_reading_and_writing_overlap_with_the_blocks(plan):
    stage = Slow(plan)
    report = run_blocks(stage, range(BLOCKS))
    assert report.computed == stage.written == list(range(BLOCKS))
    assert plan.ledger.read().done == set(range(BLOCKS))
    # The first block is read by nobody ahead; all others are, in another thread.
    assert set(stage.read) == set(range(1, BLOCKS))
    assert all(name != threading.current_thread().name for name in stage.read.values())


@pytest.mark.parametrize("what", ["process", "write"])
def test_a_block_that_fails_is_the_one_that_is_named(plan, what):
    stage = Slow(plan, (what, 2))
    if what == "process":
        stage.next_is_processed[3].set()
    report = run_blocks(stage, range(BLOCKS))
    assert list(report.failed) == [2]
    assert f"{what} of block 2" in report.failed[2]
    assert sorted(report.computed) == [0, 1, 3, 4]
    assert plan.ledger.read().done == {0, 1, 3, 4}
    whole = Slow(plan)
    whole.next_is_processed[3].set()
    again = run_blocks(whole, range(BLOCKS))
    assert again.computed == [2]
    assert sorted(again.skipped) == [0, 1, 3, 4]


def test_what_fails_ahead_is_for_the_block_to_say(plan):
    stage = Slow(plan, ("ahead", 2))
    assert run_blocks(stage, range(BLOCKS)).computed == list(range(BLOCKS))
    assert set(stage.read) == {1, 3, 4}


def test_what_is_computed_when_it_stops_is_written(plan):
    stage = Slow(plan)
    asked = iter([False, False, True])
    for event in stage.next_is_processed:
        event.set()
    with pytest.raises(StoppedError, match="before block 2"):
        run_blocks(stage, range(BLOCKS), should_stop=lambda: next(asked))
    assert plan.ledger.read().done == {0, 1}
    assert stage.written == [0, 1]


def test_what_failed_in_an_earlier_try_does_not_end_a_batch_that_goes_well(plan):
    with plan.ledger.writer() as lines:
        lines.failed(0, "Traceback: of the try before")
        lines.failed(1, "Traceback: of the try before")
    whole = Slow(plan)
    report = run_blocks(whole, range(BLOCKS), failed_before={}, failures=FailuresSettings(max_failed_blocks=2))
    assert report.gave_up is None
    assert report.computed == [2, 3, 4]


def test_a_ledger_that_cannot_be_written_is_no_fault_of_the_block(plan, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the ledger is gone")

    monkeypatch.setattr("axonloom.ledger.LedgerWriter.done", fail)
    stage = Slow(plan)
    for event in stage.next_is_processed:
        event.set()
    with pytest.raises(RuntimeError, match="the ledger is gone"):
        run_blocks(stage, range(BLOCKS))
    assert not plan.ledger.read().failed
