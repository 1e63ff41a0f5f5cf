"""Runs on the pool of one machine when things die: each ends, goes on, and computes nothing twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import numpy as np
import psutil
import pytest

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from tests.flows.affinity_project import make_project, segmentation
from tests.station import Station, until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dead")
    station = Station(folder / "home", folder / "runs")
    station.up()
    yield station
    station.down()
    for process in station.processes():
        process.kill()


def content(station: Station, project, name: str, blocks: tuple[int, int, int] = (32, 32, 32)) -> dict:
    return {
        "workspace": str(station.folder / name),
        "volumes": {"affinities": {"path": str(project / "affinities.zarr")}, "segmentation": {"mips": 1}},
        "blocks": {"shape": list(blocks)},
        "merge": {"threshold": "0.6"},
        "compute": {"workers": 1},
    }


@pytest.fixture(scope="module")
def undisturbed(own, project):
    run = own.start("reconstruct/local", content(own, project, "undisturbed", (65, 70, 97)))
    assert own.wait_for(run, "COMPLETED", "FAILED", "CRASHED")["type"] == "COMPLETED"
    return segmentation(own.folder / "undisturbed")


def matching(station: Station, good: Callable[[list[str]], bool]) -> list[psutil.Process]:
    found = []
    for process in station.processes():
        try:
            if good(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def of_server(command: list[str]) -> bool:
    return "server" in command or any("uvicorn" in word for word in command)


def of_worker(command: list[str]) -> bool:
    return "worker" in command and "start" in command


def of_flow(command: list[str]) -> bool:
    return not of_server(command) and not of_worker(command)


def lot(command: list[str]) -> bool:
    return True


@pytest.mark.parametrize(
    ("victims", "back"),
    [(of_flow, False), (of_worker, True), (lot, True), (of_server, True)],
    ids=["the flow", "the worker", "the whole lot", "the server, for a minute"],
)
def test_after_kill_9(own, project, undisturbed, victims, back, request):
    name = request.node.callspec.id.replace(" ", "-").replace(",", "")
    given = content(own, project, name)
    chain = Chain(Configuration.model_validate(given))
    run = own.start("reconstruct/local", given)
    until(lambda: len(chain.fragment.ledger.read().done) >= 4, bool)
    begin = time.monotonic()
    for process in matching(own, victims):
        process.send_signal(signal.SIGKILL)
    before = {plan.fingerprint: set(plan.ledger.read().done) for plan in chain.stages()}
    if victims is of_server:
        time.sleep(60)
    if back:
        own.up()
    state = own.wait_for(run, "COMPLETED", "CRASHED", "FAILED", patience=420)
    print(f"{name}: {state['type']} after {time.monotonic() - begin:.0f} s ({state['message']})")
    for _ in range(3):
        if state["type"] == "COMPLETED":
            break
        assert state["type"] == "CRASHED", state
        # Prefect's worker reports the end of the old process some seconds after the run is Crashed, whatever it is by then: who is
        # faster with Retry has to press it again.
        time.sleep(20)
        answer = own.post(f"flow_runs/{run}/set_state", state={"type": "SCHEDULED", "name": "AwaitingRetry"})
        assert answer["status"] == "ACCEPT", answer
        state = own.wait_for(run, "COMPLETED", "FAILED", "CRASHED", patience=420)
    assert state["type"] == "COMPLETED"
    assert np.array_equal(segmentation(own.folder / name), undisturbed)
    for plan in chain.stages():
        found = plan.ledger.read()
        assert set(found.done) == set(range(len(plan.grid)))
        assert not {b for b in before[plan.fingerprint] if found.completions.get(b, 1) > 1}, plan.stage
    until(lambda: matching(own, of_flow), lambda found: not found, 60)
