"""How the server of a machine is started, and that it is ours; with a stand-in for Prefect's, which starts at once."""

from __future__ import annotations

import http.server
import json
import socket
import sys
import threading
import time

import httpx
import psutil
import pytest
from prefect.settings import PREFECT_HOME, temporary_settings

from deployments import server
from deployments.server import ServerError, ServerSettings, SharedServer

STAND_IN = """#!{python}
import http.server, os, sys, time
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL", "sqlite").encode())
    def log_message(self, *words):
        pass
if "broken" in os.environ.get("PREFECT_API_DATABASE_CONNECTION_URL", ""):
    sys.exit(1)
time.sleep(0.5)
http.server.HTTPServer((sys.argv[-3], int(sys.argv[-1])), Health).serve_forever()
"""


class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, format, *args):
        return


def unused() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def shared(tmp_path, monkeypatch):
    stand_in = tmp_path / "python"
    stand_in.write_text(STAND_IN.format(python=sys.executable))
    stand_in.chmod(0o755)
    monkeypatch.delenv("PREFECT_API_DATABASE_CONNECTION_URL", raising=False)
    monkeypatch.setattr(server.sys, "executable", str(stand_in))
    monkeypatch.setattr(server, "free_port", lambda host, before: unused())
    with temporary_settings({PREFECT_HOME: tmp_path / "home"}):
        found = SharedServer()
        yield found
        found.leave()
        found.dismiss()


def database(url: str) -> str:
    return httpx.get(f"{url}/health").text


def test_up_again_without_options_takes_those_of_before(shared):
    wanted = ServerSettings(database="postgresql+asyncpg://lab:secret@db/axonloom")
    assert database(shared.stay(wanted)) == wanted.database
    assert (shared.folder / "settings.json").stat().st_mode & 0o077 == 0
    assert shared.dismiss() == []
    assert not shared.stays()
    assert database(shared.stay()) == wanted.database


def test_what_was_asked_for_stands_when_a_start_fails(shared):
    with pytest.raises(ServerError, match="did not start"):
        shared.stay(ServerSettings(database="broken"))
    assert not shared.stays()
    with pytest.raises(ServerError, match="did not start"):
        shared.stay()
    assert database(shared.stay(ServerSettings())) == "sqlite"
    shared.dismiss()
    assert database(shared.stay()) == "sqlite"


def test_a_job_after_down_has_a_server_of_its_own_on_loopback(shared):
    shared.stay(ServerSettings(database="postgresql+asyncpg://db/axonloom"))
    shared.dismiss()
    assert database(shared.enter()) == "sqlite"
    with pytest.raises(ServerError, match="other settings runs already"):
        shared.stay()
    shared.leave()


def test_a_server_that_jobs_use_after_down_comes_back_with_its_own_database(shared):
    shared.stay(ServerSettings(database="postgresql+asyncpg://db/axonloom"))
    shared.enter()
    assert shared.dismiss() != []
    killed = psutil.Process(json.loads(shared.record.read_text())["pid"])
    killed.kill()
    killed.wait()
    shared.revive()
    url = shared.url()
    assert url is not None
    assert database(url) == "postgresql+asyncpg://db/axonloom"
    shared.leave()


def test_the_server_of_somebody_who_was_quicker_is_not_ours(shared, monkeypatch):
    other = http.server.HTTPServer(("127.0.0.1", 0), Healthy)
    thread = threading.Thread(target=other.serve_forever)
    thread.start()
    try:
        # It was free when we looked.
        ports = [other.server_port, unused()]
        monkeypatch.setattr(server, "free_port", lambda host, before: ports.pop(0))
        expected = ports[1]
        assert shared.stay() == f"http://127.0.0.1:{expected}/api"
        assert shared.url() == f"http://127.0.0.1:{expected}/api"
        shared.dismiss()
        with pytest.raises(ServerError, match="did not start"):
            shared.stay(ServerSettings(port=other.server_port))
    finally:
        other.shutdown()
        thread.join()
        other.server_close()


def test_somebody_who_was_quicker_and_has_left_since_costs_another_try(shared, monkeypatch):
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]

    def leave() -> None:
        while not (shared.log.exists() and b"in use" in shared.log.read_bytes()):
            time.sleep(0.005)
        other.close()

    thread = threading.Thread(target=leave, daemon=True)
    thread.start()
    monkeypatch.setattr(server, "free_port", lambda host, before: port)
    assert shared.stay() == f"http://127.0.0.1:{port}/api"
    thread.join()
