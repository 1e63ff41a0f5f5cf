"""``axonloom up`` and ``down`` on this machine, for real."""

from __future__ import annotations

import signal
import time

import httpx
import psutil
import pytest

from tests.flows.affinity_project import configure, make_project
from tests.station import Station, until

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def own(tmp_path):
    station = Station(tmp_path / "home", tmp_path / "runs")
    yield station
    station.down()
    for process in station.processes():
        process.kill()


@pytest.mark.slow
def test_up_and_down_are_idempotent_and_jobs_use_what_is_up(own, tmp_path):
    first = own.up()
    assert httpx.get(first["ui"]).status_code == 200
    assert own.ui.startswith("http://127.0.0.1:")
    again = own.up()
    assert (again["server"], again["worker"]) == (first["server"], first["worker"])
    record = (own.home / "axonloom-server" / "server.json").stat()
    assert record.st_mode & 0o077 == 0

    project = make_project(tmp_path)
    config = configure(project, tmp_path / "work", (65, 70, 97))
    done = own.axonloom("segment", config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert own.ui in done.stdout
    (run,) = own.runs("segment")
    assert run["state"]["type"] == "COMPLETED"
    assert "axonloom" in run["tags"]
    assert psutil.pid_exists(own.worker)
    assert httpx.get(f"{own.api}/health").status_code == 200

    # A server that was killed comes back under the same address, with its history.
    for process in own.processes():
        if "server" in process.cmdline() or "uvicorn" in process.cmdline():
            process.send_signal(signal.SIGKILL)
    back = own.up()
    assert back["server"] == first["server"]
    assert [r["id"] for r in own.runs("segment")] == [run["id"]]

    taken = own.down()
    assert taken["server"] == first["server"]
    assert not until(own.processes, lambda found: not found, 30)
    assert own.down() == {"worker": None, "server": None, "jobs": []}
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{own.api}/health")


@pytest.mark.fault
@pytest.mark.parametrize("orphaned", [False, True], ids=["with its worker", "whose worker was killed"])
def test_down_ends_a_run_so_that_it_goes_on_after_up(own, tmp_path, orphaned):
    project = make_project(tmp_path)
    content = {
        "workspace": str(tmp_path / "work"),
        "volumes": {"affinities": {"path": str(project / "affinities.zarr")}, "segmentation": {"mips": 1}},
        "blocks": {"shape": [32, 32, 32]},
        "compute": {"workers": 1},
    }
    own.up()
    run = own.start("reconstruct/local", content)
    own.wait_for(run, "RUNNING")
    until(lambda: list((tmp_path / "work").glob("fragment/*/ledger/*.jsonl")), bool)
    if orphaned:
        psutil.Process(own.worker).kill()
        time.sleep(2)
    own.down()
    assert not until(own.processes, lambda found: not found, 30)
    own.up()
    state = own.wait_for(run, "CRASHED", "FAILED")
    answer = own.post(f"flow_runs/{run}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"}, force=False)
    assert answer["status"] == "ACCEPT", (state, answer)
    assert own.wait_for(run, "COMPLETED", "FAILED", "CRASHED")["type"] == "COMPLETED"
