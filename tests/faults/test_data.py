"""What is on disk is damaged, or written by someone who has lost the right to."""

from __future__ import annotations

import os
import signal

import psutil
import pytest

#: A run takes ten seconds on an idle machine, and several minutes on a busy one.
pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]


@pytest.mark.slow
def test_a_torn_last_ledger_line(trial, undisturbed):
    """The machine stopped in the middle of writing it: the block counts as not done, the others as done."""
    one = trial()
    run = one.start()
    run.until(20)
    run.kill()
    ledger = one.plan("fragment").ledger.folder
    torn = 0
    # A batch that had just begun has no such line yet.
    for path in sorted(ledger.glob("*.jsonl"), key=lambda path: path.stat().st_mtime, reverse=True):
        lines = path.read_bytes().splitlines(keepends=True)
        done = [n for n, line in enumerate(lines) if b'"done"' in line]
        if done and torn < 2:
            last = done[-1]
            path.write_bytes(b"".join(lines[:last]) + lines[last][: len(lines[last]) // 2])
            torn += 1
    assert torn
    (ledger / "snapshot.json").unlink(missing_ok=True)
    before = one.states()
    assert one.finish(before) <= torn + 2
    one.require_whole(undisturbed)


def test_a_cancelled_run_with_other_parameters_wakes_up_and_writes(trial, undisturbed):
    """It slept (a suspended node, a hung file system) between its permission and its write, and another run took its place."""
    one = trial()
    asleep = one.start(
        "run",
        one.config,
        "--set",
        "merge.threshold=0.5",
        at={"stage": "apply", "block": 7, "do": "sleep", "when": "before"},
    )
    asleep.until_true(lambda: psutil.Process(asleep.process.pid).status() == psutil.STATUS_STOPPED)
    refused = one.start().end()
    assert refused.code == 3
    assert f"process {asleep.process.pid}" in refused.output
    # As the sentence says.
    (one.workspace / "segmentation.lease").unlink()
    one.finish()
    asleep.process.send_signal(signal.SIGCONT)
    woken = asleep.end()
    assert woken.code == 3, woken.output
    assert "claimed by another run" in woken.output
    one.require_whole(undisturbed)


def test_a_truncated_chunk_is_found_and_mended(trial, undisturbed):
    one = trial()
    run = one.start()
    run.until(40)
    run.kill()
    chunk = max((one.plan("fragment").folder / "fragments.zarr").glob("c/*/*/*"), key=lambda path: path.stat().st_size)
    os.truncate(chunk, chunk.stat().st_size // 2)
    failed = one.start().end()
    assert failed.code == 1, failed.output
    assert "verify" in failed.output or chunk.name in failed.output
    found = one.start("verify", one.config, "--repair").end()
    assert "run again" in found.output, found.output
    result = one.start().end()
    assert result.code == 0, result.output
    one.require_whole(undisturbed, mended=1)


def test_a_chunk_of_the_result_is_truncated_after_the_end(trial, undisturbed):
    one = trial()
    assert one.start().end().code == 0
    chunk = max((one.workspace / "segmentation").glob("*_*_*/*"), key=lambda path: path.stat().st_size)
    os.truncate(chunk, 100)
    assert one.start("verify", one.config).end().code == 1
    one.start("verify", one.config, "--repair").end()
    result = one.start().end()
    assert result.code == 0, result.output
    one.require_whole(undisturbed, mended=1)
    assert one.start("verify", one.config).end().code == 0


def test_two_runs_of_one_workspace_at_once(trial, undisturbed):
    """The second is told who is at work, or joins in where the first has not begun; neither harms the other."""
    one = trial()
    first, second = one.start(), one.start()
    codes = sorted([first.end().code, second.end().code])
    assert codes in ([0, 0], [0, 3], [3, 3]), first.output + second.output
    if codes[0] == 3:
        one.finish()
    one.require_whole(undisturbed)
