"""The Prefect server goes away in the middle of a run: for a minute, for ever, or without a word."""

from __future__ import annotations

import time

import psutil
import pytest

#: A run takes ten seconds on an idle machine, and several minutes on a busy one.
pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]

PLACES = [{}, {"compute": {"workers": 2, "on": "dask"}}]
NAMES = ["threads", "dask"]


@pytest.mark.parametrize("more", PLACES, ids=NAMES)
def test_killed_and_back_after_a_minute(trial, undisturbed, server, more):
    one = trial(api=server.url, more=more)
    run = one.start()
    run.until(6)
    server.kill()
    time.sleep(60)
    # Blocks need no server: the whole flow that was under way was finished without it.
    assert one.done() >= 72
    assert run.process.poll() is None, run.output
    server.start()
    result = run.end()
    assert result.code == 0, result.output
    assert "Traceback" not in result.output
    assert result.output.count("does not answer") == 1
    one.require_whole(undisturbed)


@pytest.mark.slow
def test_killed_for_a_moment(trial, undisturbed, server):
    one = trial(api=server.url)
    run = one.start()
    run.until(6)
    server.kill()
    run.until(72)
    server.start()
    result = run.end()
    assert result.code == 0, result.output
    one.require_whole(undisturbed)


def test_silent_for_a_minute(trial, undisturbed, server):
    """SIGSTOP: its port still takes connections, and nobody answers."""
    one = trial(api=server.url)
    run = one.start()
    run.until(6)
    server.stop()
    time.sleep(60)
    assert one.done() >= 72
    server.carry_on()
    result = run.end()
    assert result.code == 0, result.output
    one.require_whole(undisturbed)


@pytest.mark.parametrize("more", PLACES, ids=NAMES)
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_away_for_good_it_is_one_sentence_and_running_again_finishes(trial, undisturbed, server, how, more):
    one = trial(api=server.url, more=more)
    run = one.start(AXONLOOM_SERVER_PATIENCE="10")
    run.until(6)
    getattr(server, how)()
    result = run.end(within=180)
    assert result.code == 3, result.output
    said = [line for line in result.output.splitlines() if line.startswith(("stopped:", "error:"))]
    assert len(said) == 1
    assert "has not answered for 10 s" in said[0]
    assert "Traceback" not in result.output
    # The stages of the flow under way came to their end.
    assert one.done() == 72
    before = one.states()
    server.kill()
    server.start()
    one.finish(before)
    one.require_whole(undisturbed)


def test_ones_own_is_brought_back(trial, undisturbed):
    """The server that the command line started for itself."""
    one = trial(api=None)
    run = one.start()
    run.until(6)
    for process in one.processes():
        if {"server", "start"} <= set(process.cmdline()) and process.is_running():
            for member in [*process.children(recursive=True), process]:
                member.kill()
    result = run.end()
    assert result.code == 0, result.output
    assert "answers again" in result.output
    one.require_whole(undisturbed)


def test_a_server_that_was_left_hanging_is_replaced(trial, undisturbed):
    """kill -9 of a run leaves its server; where that hangs, the next run does not wait for ever."""
    one = trial(api=None)
    run = one.start()
    run.until(6)
    run.kill()
    left = one.processes()
    assert left
    for process in left:
        process.suspend()
    one.finish()
    assert not psutil.wait_procs(left, timeout=5)[1]
    one.require_whole(undisturbed)
