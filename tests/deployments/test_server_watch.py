"""Requests that fail while the server answers others."""

from __future__ import annotations

import httpx
import pytest

from axonloom.runner import StoppedError
from deployments import server_watch
from deployments.server_watch import PatientTransport, ServerLostError, ServerWatch
from tasks.server_presence import may_be_lost

URL = "http://127.0.0.1:4299/api"


class Clock:
    """Time that passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Refusing(httpx.BaseTransport):
    """Fails a number of times, then answers."""

    def __init__(self, times: float) -> None:
        self.times, self.asked = times, 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.asked > 10_000:
            raise AssertionError("sent again for ever")
        if self.asked <= self.times:
            raise httpx.ReadError("reset")
        return httpx.Response(200)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(server_watch, "time", found)
    monkeypatch.setattr(server_watch, "answers", lambda url: True)
    return found


def send(inner: httpx.BaseTransport) -> httpx.Response:
    return PatientTransport(inner, ServerWatch(URL)).handle_request(
        httpx.Request("POST", f"{URL}/flow_runs/7/set_state")
    )


def test_a_request_is_sent_again_after_a_pause(clock):
    inner = Refusing(3)
    assert send(inner).status_code == 200
    assert inner.asked == 4
    assert clock.now - 1000 >= 3 * server_watch.INTERVAL


def test_a_request_that_fails_while_the_server_answers_ends_with_the_patience(clock, monkeypatch):
    monkeypatch.setenv(server_watch.PATIENCE, "20")
    inner = Refusing(float("inf"))
    with pytest.raises(ServerLostError, match=r"POST /api/flow_runs/7/set_state has failed for 20 s") as error:
        send(inner)
    assert isinstance(error.value, StoppedError)
    assert inner.asked == 12
    assert 20 < clock.now - 1000 <= 20 + 2 * server_watch.INTERVAL


def test_a_run_that_was_asked_to_stop_waits_less(clock, monkeypatch):
    monkeypatch.setattr(server_watch, "stop_requested", lambda: True)
    with pytest.raises(ServerLostError, match="has failed for 10 s"):
        send(Refusing(float("inf")))


def test_what_may_be_lost_is_not_sent_again(clock):
    inner = Refusing(1)
    with may_be_lost(), pytest.raises(httpx.ReadError):
        send(inner)
    assert inner.asked == 1
