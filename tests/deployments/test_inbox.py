"""The inbox as a flow: each volume once, whoever looks, however often, and whatever is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from axonloom.chain import Chain
from axonloom.config.inbox import InboxSettings
from axonloom.inbox import configuration_for, look
from axonloom.volumes import create_volume, open_volume
from tests.station import until

pytestmark = pytest.mark.flow

SHAPE = (16, 20, 24)

TEMPLATE = """
volumes: {affinities: {path: replaced.h5}, segmentation: {mips: 1}}
blocks: {shape: [16, 16, 16]}
segment: {smoothing: 0}
compute: {workers: 1}
"""

RUN = """
import sys
from axonloom.config.inbox import InboxSettings
from flows.inbox import inbox
inbox(InboxSettings.model_validate_json(sys.argv[1]))
"""


def affinities(path: Path, cut: int = 12) -> Path:
    """Two halves, parted along x."""
    made = create_volume(str(path), shape=SHAPE, dtype=np.uint8, channels=3, chunk=(16, 16, 16))
    values = np.full((3, *SHAPE), 255, np.uint8)
    values[2, :, :, cut] = 0
    made.write(made.box, values)
    return path


@pytest.fixture
def settings(tmp_path) -> InboxSettings:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox.yaml").write_text(TEMPLATE)
    return InboxSettings(
        folder=tmp_path / "inbox",
        template=tmp_path / "inbox.yaml",
        results=tmp_path / "results",
        volume="affinities",
        settle=0,
    )


def completions(settings: InboxSettings) -> dict[str, set[int]]:
    """Volume -> how often blocks were finished; {1} is what should be."""
    found = {}
    for arrival in look(settings):
        if not arrival.workspace.is_dir():
            continue
        chain = Chain(configuration_for(arrival, settings))
        ends: set[int] = set()
        for plan in chain.stages():
            state = plan.ledger.read()
            assert len(state.done) == len(plan.grid)
            ends |= {state.completions.get(block, 1) for block in state.done}
        found[arrival.name] = ends
    return found


def halves(settings: InboxSettings, name: str, cut: int) -> None:
    (arrival,) = [a for a in look(settings) if a.name == name]
    assert arrival.state == "done"
    found = open_volume(f"precomputed://{arrival.workspace}/segmentation").read()
    assert (found[:, :, :cut] == 1).all()
    assert (found[:, :, cut:] == 2).all()


def test_a_half_copied_volume_waits_and_a_finished_one_runs_once(prefect_api, settings, tmp_path):
    from flows.inbox import inbox

    affinities(settings.folder / "a.h5", cut=12)
    late = affinities(tmp_path / "late.h5", cut=7).read_bytes()
    (settings.folder / "late.h5").write_bytes(late[: len(late) // 2])
    first = inbox(settings)
    assert first["a.h5"] == "done now"
    assert first["late.h5"].startswith("waiting: cannot be read yet")
    (settings.folder / "late.h5").write_bytes(late)
    second = inbox(settings)
    assert second == {"a.h5": "done", "late.h5": "done now"}
    assert inbox(settings) == {"a.h5": "done", "late.h5": "done"}
    halves(settings, "a.h5", 12)
    halves(settings, "late.h5", 7)
    assert completions(settings) == {"a.h5": {1}, "late.h5": {1}}


def test_a_volume_that_fails_is_told_and_the_others_go_on(prefect_api, settings):
    from flows.inbox import InboxFailedError, inbox

    affinities(settings.folder / "good.h5")
    create_volume(str(settings.folder / "flat.h5"), shape=SHAPE, dtype=np.uint8, chunk=(16, 16, 16))
    with pytest.raises(InboxFailedError, match=r"1 of 2 volumes failed: flat\.h5: "):
        inbox(settings)
    halves(settings, "good.h5", 12)


def run_in_a_process(prefect_api: str, settings: InboxSettings) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, settings.model_dump_json()],
        env={**os.environ, "PREFECT_API_URL": prefect_api, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_two_looks_at_once_and_a_kill_compute_nothing_twice(prefect_api, settings):
    for k in range(3):
        affinities(settings.folder / f"{k}.h5", cut=7 + k)
    doomed = run_in_a_process(prefect_api, settings)
    until(lambda: list(settings.results.glob("*/work/fragment/*/ledger/*.jsonl")), bool)
    doomed.send_signal(signal.SIGKILL)
    doomed.communicate()
    both = [run_in_a_process(prefect_api, settings) for _ in range(2)]
    for process in both:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0, output
    until(lambda: {a.state for a in look(settings)}, lambda states: states == {"done"}, 5)
    assert completions(settings) == {f"{k}.h5": {1} for k in range(3)}
    for k in range(3):
        halves(settings, f"{k}.h5", 7 + k)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_schedule_fires_again_and_again_and_each_volume_runs_once(station, settings, tmp_path):
    affinities(settings.folder / "a.h5")
    late = affinities(tmp_path / "late.h5", cut=7)
    content = late.read_bytes()
    (settings.folder / "late.h5").write_bytes(content[: len(content) // 2])
    deployment = station.deployment("inbox/local")
    (schedule,) = deployment["schedules"]
    assert not schedule["active"]
    parameters = {"configuration": settings.model_dump(mode="json")}
    station.patch(f"deployments/{deployment['id']}", parameters=parameters)
    begun = len(station.runs("reconstruct"))
    station.patch(
        f"deployments/{deployment['id']}/schedules/{schedule['id']}",
        active=True,
        schedule={"interval": 20},
    )
    try:
        until(lambda: finished(station), lambda n: n >= 1)
        until(lambda: {a.name: a.state for a in look(settings)}, lambda s: s == {"a.h5": "done", "late.h5": "waiting"})
        shutil.copy(late, settings.folder / "late.h5")
        until(lambda: {a.state for a in look(settings)}, lambda states: states == {"done"})
        n = finished(station)
        until(lambda: finished(station), lambda now: now > n)
    finally:
        station.patch(f"deployments/{deployment['id']}/schedules/{schedule['id']}", active=False)
    assert len(station.runs("reconstruct")) - begun == 2
    assert completions(settings) == {"a.h5": {1}, "late.h5": {1}}
    halves(settings, "late.h5", 7)


def finished(station) -> int:
    """Looks of the schedule that ended well."""
    return sum(1 for r in station.runs("inbox") if r["auto_scheduled"] and r["state"]["type"] == "COMPLETED")
