"""However a ledger is read - at once, from a snapshot, bit by bit - it says the same; and what was taken back can be done again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.block_sets import BlockCounts, BlockSet, runs, shown
from axonloom.ledger import SNAPSHOT, Ledger, LedgerState
from axonloom.stage_status import running_blocks

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["started", "done", "failed", "undo", "compact", "refresh", "new file", "lose snapshot"]),
        st.integers(0, 6),
    ),
    max_size=40,
)


def facts(state: LedgerState) -> tuple[object, ...]:
    return (
        set(state.done), state.failed, dict(state.started), dict(state.completions), dict(state.failures),
        round(state.seconds, 6), state.finished_at,
        {name: (tail.offset, tail.open, tail.host if tail.open else "") for name, tail in state.tails.items()},
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_every_way_of_reading_says_the_same(tmp_path_factory, steps):
    ledger = Ledger(tmp_path_factory.mktemp("ledger"))
    followed = ledger.read()
    writer = ledger.writer()
    done: set[int] = set()
    for step, block in steps:
        if step == "started":
            writer.started(block)
        elif step == "done":
            writer.done(block, 0.5)
            done.add(block)
        elif step == "failed":
            writer.failed(block, f"boom {block}")
        elif step == "undo":
            ledger.undo({block: "damaged"})
            done.discard(block)
        elif step == "compact":
            ledger.compact()
        elif step == "refresh":
            followed = ledger.refresh(followed)
        elif step == "lose snapshot":
            (ledger.folder / SNAPSHOT).unlink(missing_ok=True)
        else:
            writer.__exit__(None, None, None)
            writer = ledger.writer(0, 6)
        assert set(ledger.read().done) == done
    at_once = ledger.read()
    (ledger.folder / SNAPSHOT).unlink(missing_ok=True)
    assert facts(at_once) == facts(ledger.read()) == facts(ledger.refresh(followed))
    ledger.compact()
    assert facts(ledger.read()) == facts(at_once)
    assert set(ledger.read_blocks(0, 6).done) <= done


def test_what_is_undone_is_done_again_when_it_is_finished_once_more(tmp_path):
    ledger = Ledger(tmp_path)
    with ledger.writer() as lines:
        lines.done(3, 1.0)
        lines.failed(4, "boom")
        lines.done(4, 1.0)
    ledger.undo({3: "a chunk is gone", 4: "torn"})
    state = ledger.read()
    assert not state.done
    assert not state.failed
    # Another look that saw the same takes nothing more back.
    ledger.undo({3: "a chunk is gone"})
    with ledger.writer() as lines:
        lines.failed(3, "later")
    assert ledger.read().failed == {3: "later"}
    with ledger.writer() as lines:
        lines.done(3, 1.0)
    state = ledger.read()
    assert state.done == {3}
    assert not state.failed
    assert state.completions == {3: 2, 4: 1}


def test_the_files_of_some_blocks_say_what_was_finished_of_them(tmp_path):
    ledger = Ledger(tmp_path)
    for first, last in ((0, 4), (5, 9), (10, 14)):
        with ledger.writer(first, last) as lines:
            for block in range(first, last):
                lines.done(block, 0.1)
    assert ledger.read_blocks(5, 9).done == {5, 6, 7, 8}
    assert ledger.read_blocks(9, 10).done == {5, 6, 7, 8, 10, 11, 12, 13}
    ledger.undo({6: "damaged"})
    assert ledger.read_blocks(5, 9).done == {5, 7, 8}


def test_snapshots_while_others_write_count_each_line_once(tmp_path):
    ledger = Ledger(tmp_path)
    stop = threading.Event()
    counted = [0, 0, 0]

    def write(k: int) -> None:
        while not stop.is_set() and counted[k] < 400:
            with ledger.writer() as lines:
                for _ in range(20):
                    lines.started(counted[k] * 3 + k)
                    lines.done(counted[k] * 3 + k, 0.25)
                    counted[k] += 1

    threads = [threading.Thread(target=write, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(15):
        ledger.compact()
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join()
    state = ledger.read()
    assert len(state.done) == sum(counted)
    assert set(state.completions.values()) == {1}
    assert state.seconds == pytest.approx(0.25 * sum(counted))


COMPACT_FOR_EVER = """
import sys
from pathlib import Path
from axonloom.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
print("going", flush=True)
while True:
    ledger.compact()
"""


def test_a_kill_in_the_middle_of_a_snapshot_loses_nothing(tmp_path):
    ledger = Ledger(tmp_path)
    with ledger.writer() as lines:
        for block in range(0, 3000, 2):
            lines._append({"block": block, "state": "done", "at": 1.0, "seconds": 0.1}, durable=False)
    for k in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", COMPACT_FOR_EVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02 + 0.013 * k)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert ledger.read().done == set(range(0, 3000, 2))


BEGIN_AND_DIE = """
import os, signal, sys
from pathlib import Path
from axonloom.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
with ledger.writer() as lines:
    lines.started(1)
    lines.done(1, 0.1)
    ledger.compact()
    lines.started(2)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_who_writes_is_known_of_blocks_that_were_begun_after_a_snapshot(tmp_path):
    subprocess.run([sys.executable, "-c", BEGIN_AND_DIE, str(tmp_path)], check=False)
    ledger = Ledger(tmp_path)
    state = ledger.read()
    (tail,) = state.tails.values()
    assert tail.open == {2}
    assert running_blocks(ledger, state) == set()
    with ledger.writer() as lines:
        lines.started(3)
        lines.done(3, 0.1)
        ledger.compact()
        lines.started(4)
        state = ledger.read()
        assert running_blocks(ledger, state) == {4}
        # A snapshot of blocks that are open names their writer; one of an earlier version may not have known.
        ledger.compact()
        content = json.loads((tmp_path / SNAPSHOT).read_text())
        content["open"] = {name: ["", 0, 0.0, blocks] for name, (*_, blocks) in content["open"].items()}
        (tmp_path / SNAPSHOT).write_text(json.dumps(content))
        assert running_blocks(ledger, ledger.read()) == {4}


@pytest.mark.parametrize("content", [b"", b'{"format_version": 2, "covers"', b"[]", b"{}", b'{"format_version": null}'])
def test_a_damaged_snapshot_costs_time_and_no_knowledge(tmp_path, content):
    ledger = Ledger(tmp_path)
    with ledger.writer() as lines:
        lines.done(1, 0.1)
    (tmp_path / SNAPSHOT).write_bytes(content)
    assert ledger.read().done == {1}


def test_a_ledger_of_the_first_format_is_read(tmp_path):
    lines = [
        {"format_version": 1, "host": "node07", "pid": 4711, "at": 1.0},
        {"block": 7, "state": "started", "at": 1.0},
        {"block": 7, "state": "done", "at": 2.0, "seconds": 0.1, "fragments": 3},
    ]
    (tmp_path / "node07-4711-0123.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    snapshot = {
        "format_version": 1, "covers": {"node07-4711-0123.jsonl": 10_000}, "done": [[7, 9]], "failed": {}, "started": {},
        "completions": {}, "seconds": 0.1, "finished_at": [2.0, 2.0],
    }  # fmt: skip
    (tmp_path / SNAPSHOT).write_text(json.dumps(snapshot))
    assert Ledger(tmp_path).read().done == {7}


def test_following_a_ledger_that_was_forgotten_begins_anew(tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    with ledger.writer() as lines:
        lines.done(1, 0.1)
    state = ledger.read()
    os.rename(tmp_path / "ledger", tmp_path / "void")
    with ledger.writer() as lines:
        lines.done(2, 0.1)
    assert ledger.refresh(state).done == {2}


@settings(deadline=None)
@given(st.sets(st.integers(0, 50)), st.sets(st.integers(0, 60)))
def test_block_sets_are_sets(a, b):
    found = BlockSet.of(a)
    assert found == a
    assert len(found) == len(a)
    assert found & b == a & b
    assert b - found == b - a
    assert set(found.missing(sorted(b))) == b - a
    assert [x for first, last in runs(a) for x in range(first, last + 1)] == sorted(a)
    counts = BlockCounts()
    for x in a:
        counts.add(x)
    assert counts == dict.fromkeys(a, 1)
    assert np.array_equal(counts.within(100) > 0, found.within(100))


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ((), ""),
        ((3,), "3"),
        ((1, 2, 3, 7), "1-3, 7"),
        (range(0, 50, 2), ", ".join(map(str, range(0, 40, 2))) + " and 5 more"),
    ],
)
def test_block_numbers_in_a_sentence(blocks, text):
    assert shown(blocks) == text
