"""Prefect's server as axonloom starts it, on SQLite: many clients that change something at once, and a port that is taken."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prefect.settings import PREFECT_HOME, temporary_settings

from deployments import server
from deployments.server import SharedServer
from tests.faults.prefect_server import OwnServer

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def api(tmp_path_factory) -> Iterator[str]:
    with OwnServer(tmp_path_factory.mktemp("server")) as started:
        yield started.url


def test_no_change_is_refused(api):
    """Each client makes a run and starts it; Prefect's own server refuses most of them."""
    flow = httpx.post(f"{api}/flows/", json={"name": "anything"}, timeout=60).json()["id"]

    def start_one(_: int) -> list[int]:
        scheduled, running = ({"type": name.upper(), "name": name} for name in ("Scheduled", "Running"))
        made = httpx.post(f"{api}/flow_runs/", json={"flow_id": flow, "state": scheduled}, timeout=60)
        if made.status_code >= 300:
            return [made.status_code]
        begun = httpx.post(f"{api}/flow_runs/{made.json()['id']}/set_state", json={"state": running}, timeout=60)
        return [made.status_code, begun.status_code]

    with ThreadPoolExecutor(8) as clients:
        answers = [code for answer in clients.map(start_one, range(80)) for code in answer]
    assert answers == [201] * 160


def test_a_change_that_reads_in_another_session_does_not_wait_for_itself(api):
    """Pausing a queue: Prefect opens a second session in the middle of the change."""
    httpx.post(f"{api}/work_pools/", json={"name": "pool", "type": "process"}, timeout=60).raise_for_status()
    for paused in (True, False):
        queue = f"{api}/work_pools/pool/queues/default"
        httpx.patch(queue, json={"is_paused": paused}, timeout=10).raise_for_status()
        assert httpx.get(queue, timeout=10).json()["is_paused"] is paused


@pytest.mark.slow
def test_a_port_that_was_taken_meanwhile_costs_another_try(tmp_path, monkeypatch):
    """Prefect looks at the port itself, and says so in its own words."""
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as probe:
        taken, left = other.getsockname()[1], probe.getsockname()[1]
        probe.close()
        ports = [taken, left]
        monkeypatch.setattr(server, "free_port", lambda host, before: ports.pop(0))
        with temporary_settings({PREFECT_HOME: tmp_path}):
            shared = SharedServer()
            try:
                assert shared.enter() == f"http://127.0.0.1:{left}/api"
                assert f"port {taken} is already in use" in " ".join(shared.log.read_text().lower().split())
            finally:
                shared.leave()
