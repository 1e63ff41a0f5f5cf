"""What happens beside the block that is processed: the next one is read, the former one is written."""

from __future__ import annotations

import errno
import gc
import threading
import time
import weakref

import pytest

from axonloom.config.failures import FailuresSettings
from axonloom.geometry import Block, BlockGrid, Box
from axonloom.runner import LeaseLostError, StoppedError, run_blocks
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


def test_what_is_written_is_recorded_while_the_next_block_is_still_computed(plan):
    """A block may take minutes; a process that is killed meanwhile must not lose the one before."""

    class Patient(Slow):
        def process(self, block: Block):
            later = super().process(block)
            give_up = time.monotonic() + 20
            while set(range(block.index)) - set(plan.ledger.read().done):
                assert time.monotonic() < give_up, f"block {block.index - 1} has no line"
                time.sleep(0.01)
            return later

    assert run_blocks(Patient(plan), range(BLOCKS)).computed == list(range(BLOCKS))


def test_who_lost_the_lease_while_it_computed_writes_nothing(plan):
    stage, lost = Slow(plan), threading.Event()
    for event in stage.next_is_processed:
        event.set()

    def permit() -> None:
        if lost.is_set():
            raise LeaseLostError("claimed by another run")

    process = stage.process

    def loses(block: Block):
        if block.index == 2:
            lost.set()
        return process(block)

    stage.process = loses
    with pytest.raises(LeaseLostError):
        run_blocks(stage, range(BLOCKS), permit=permit)
    assert set(stage.written) == plan.ledger.read().done
    assert not {2, 3, 4} & set(stage.written)


def test_what_ended_a_batch_is_said_and_not_what_came_of_ending_it(plan):
    stage = Slow(plan)
    for event in stage.next_is_processed:
        event.set()

    def full() -> None:
        raise OSError(errno.ENOSPC, "no room")

    process = stage.process
    stage.process = lambda block: full if process(block) and block.index == 1 else process(block)
    asked = iter([False, False, True])
    with pytest.raises(StoppedError, match="stopped before block 2"):
        run_blocks(stage, range(BLOCKS), should_stop=lambda: next(asked))
    # Where nothing else ends it, that does.
    with pytest.raises(StoppedError, match="the disk is full"):
        run_blocks(stage, range(BLOCKS))
    assert 1 not in plan.ledger.read().done
    assert not plan.ledger.read().failed


def test_no_more_than_two_blocks_are_in_memory(plan):
    """Of two what was read, and of two what was computed, however slow reading and writing are."""

    class Counted(Slow):
        def __init__(self, plan: StagePlan) -> None:
            super().__init__(plan)
            self.pixels, self.values = weakref.WeakSet(), weakref.WeakSet()
            self.held: dict[int, Held] = {}
            self.most = [0, 0]

        def look(self) -> None:
            # A thread has told that it ended before it lets go of what it held.
            give_up = time.monotonic() + 1
            while max(len(self.pixels), len(self.values)) > 2 and time.monotonic() < give_up:
                time.sleep(0.001)
            self.most = [max(n, len(s)) for n, s in zip(self.most, (self.pixels, self.values), strict=True)]

        def ahead(self, block: Block) -> None:
            self.held[block.index] = Held()
            self.pixels.add(self.held[block.index])
            self.look()

        def process(self, block: Block):
            pixels = self.held.pop(block.index, None) or Held()
            self.pixels.add(pixels)
            values = Held()
            self.values.add(values)
            self.look()
            time.sleep(0.02)

            def write():
                time.sleep(0.1)
                self.look()
                return {"kind": type(values).__name__}

            return write

    stage = Counted(plan)
    assert run_blocks(stage, range(BLOCKS)).computed == list(range(BLOCKS))
    assert stage.most == [2, 2]
    del stage.held
    gc.collect()
    assert not stage.pixels
    assert not stage.values


class Held:
    """Stands for an array."""
