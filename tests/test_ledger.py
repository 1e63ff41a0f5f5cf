"""The ledger: what is on disk is what is done, whatever happened to the writers."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.ledger import SNAPSHOT, Ledger, LedgerError


def test_an_empty_ledger_says_nothing_is_done(tmp_path):
    state = Ledger(tmp_path / "none").read()
    assert state.missing(range(3)) == [0, 1, 2]
    assert not (tmp_path / "none").exists()


def test_done_beats_failed_in_either_order(tmp_path):
    ledger = Ledger(tmp_path)
    with ledger.writer() as first, ledger.writer() as second:
        first.done(1, 0.5)
        first.failed(1, "late failure of another worker")
        second.failed(2, "boom")
        second.done(2, 0.5)
        second.failed(3, "boom 3")
    state = ledger.read()
    assert state.done == {1, 2}
    assert state.failed == {3: "boom 3"}


def test_a_torn_line_hides_nothing_else(tmp_path):
    ledger = Ledger(tmp_path)
    with ledger.writer() as lines:
        lines.done(1, 0.1)
    (torn,) = tmp_path.glob("*.jsonl")
    with torn.open("ab") as file:
        file.write(b'{"block": 2, "state": "do')
    with ledger.writer() as lines:
        lines.done(3, 0.1)
    assert ledger.read().done == {1, 3}


@settings(deadline=None)
@given(cut=st.integers(min_value=0, max_value=400))
def test_cutting_a_file_anywhere_only_loses_lines_at_its_end(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("ledger")
    with Ledger(folder).writer() as lines:
        for block in range(5):
            lines.done(block, 0.1)
    (path,) = folder.glob("*.jsonl")
    content = path.read_bytes()[:cut]
    path.write_bytes(content)
    done = Ledger(folder).read().done
    assert done == set(range(len(done)))


def test_lines_from_many_threads_are_all_there(tmp_path):
    ledger = Ledger(tmp_path)
    with ledger.writer() as lines:
        threads = [threading.Thread(target=lambda k=k: [lines.done(b, 0) for b in range(k, 200, 4)]) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert ledger.read().done == set(range(200))


def test_a_snapshot_and_the_tail_say_the_same_as_all_lines(tmp_path):
    ledger = Ledger(tmp_path)
    with ledger.writer() as lines:
        for block in (0, 1, 2, 7):
            lines.done(block, 0.25)
        for block in (7, 7, 9):
            lines.started(block)
        lines.failed(9, "boom")
        ledger.compact()
        lines.done(9, 0.25)
        lines.failed(10, "again")
    state = ledger.read()
    (tmp_path / SNAPSHOT).unlink()
    plain = ledger.read()
    assert state.done == plain.done == {0, 1, 2, 7, 9}
    assert state.failed == plain.failed == {10: "again"}
    assert state.started[7] == plain.started[7] == 2
    assert state.started[9] == plain.started[9] == 1
    assert state.completions == plain.completions
    assert state.seconds == plain.seconds == pytest.approx(1.25)


def test_a_line_that_was_torn_when_the_snapshot_was_made_is_read_once_whole(tmp_path):
    ledger = Ledger(tmp_path)
    with ledger.writer() as lines:
        lines.done(0, 0.1)
    (path,) = tmp_path.glob("*.jsonl")
    with path.open("ab") as file:
        file.write(b'{"block": 1, "sta')
    ledger.compact()
    with path.open("ab") as file:
        file.write(b'te": "done", "at": 1.0, "seconds": 0.1}\n')
    assert ledger.read().done == {0, 1}


def test_a_newer_format_is_refused_with_a_sentence(tmp_path):
    (tmp_path / "other.jsonl").write_text(json.dumps({"format_version": 99}) + "\n")
    with pytest.raises(LedgerError, match="newer axonloom"):
        Ledger(tmp_path).read()
