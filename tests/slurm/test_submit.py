"""Submit and leave: a flow that is a SLURM job of its own and spreads its batches over further jobs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from tests.flows.affinity_project import configure, make_project, segmentation
from tests.slurm.test_batches import compute
from tests.station import Station

# Minutes on a busy machine: with the matrix of faults, not with the handful.
pytestmark = [pytest.mark.flow, pytest.mark.fault, pytest.mark.timeout(900)]


def test_a_job_that_has_jobs(prefect_api, empty_slurm, tmp_path):
    from flows.reconstruct import reconstruct

    project = make_project(tmp_path)
    settings = compute(cores=2, workers=2, max_jobs=1).model_dump(mode="json")
    config = configure(project, tmp_path / "there", (64, 64, 64), compute=settings)
    station = Station(tmp_path / "home", tmp_path / "runs")
    worker = None
    try:
        station.up()
        worker = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "slurm", "--type", "axonloom-slurm"],
            env={**station.environment, "PREFECT_API_URL": station.api},
            cwd=station.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        handed = station.axonloom("submit", "run", config, "--pool", "slurm", "--json")
        assert handed.returncode == 0, handed.stderr
        run = json.loads(handed.stdout)["id"]
        state = station.wait_for(run, "COMPLETED", "FAILED", "CRASHED", patience=600)
        assert state["type"] == "COMPLETED", state
        empty_slurm.wait_empty(limit=30)
        names = [job.name for job in empty_slurm.jobs(ended=True)]
        assert [name for name in names if name.startswith("axonloom-cpu-")], names
    finally:
        if worker is not None:
            worker.send_signal(signal.SIGTERM)
            worker.wait(timeout=60)
        station.down()
        for process in station.processes():
            process.kill()
    for plan in Chain(load_configuration(config)).stages():
        assert set(plan.ledger.read().completions.values()) == {1}
    here = configure(project, tmp_path / "here", (65, 70, 97))
    reconstruct(load_configuration(here))
    assert np.array_equal(segmentation(tmp_path / "there"), segmentation(tmp_path / "here"))
