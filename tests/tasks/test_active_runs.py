"""A run that was handed to a work pool lives without the command line, and is found by its workspace."""

from __future__ import annotations

import json

import pytest

from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from tests.flows.affinity_project import configure, make_project
from tests.station import Station, until


@pytest.mark.slow
@pytest.mark.flow
def test_submit_and_leave(tmp_path):
    station = Station(tmp_path / "home", tmp_path / "runs")
    config = configure(make_project(tmp_path), tmp_path / "work", (65, 70, 97))
    refused = station.axonloom("submit", "segment", config)
    assert refused.returncode == 2
    assert "axonloom up" in refused.stderr
    try:
        station.up()
        handed = station.axonloom("submit", "segment", config, "--on", "dask", "--json")
        assert handed.returncode == 0, handed.stderr
        run = json.loads(handed.stdout)
        assert run["waits"] is None
        assert run["id"] in run["url"]

        def at_work() -> list[dict[str, object]]:
            return json.loads(station.axonloom("runs", config, "--json").stdout)

        (found,) = at_work()
        assert (found["id"], found["flow"], found["deployed"]) == (run["id"], "segment", True)
        other = configure(tmp_path, tmp_path / "other", (65, 70, 97))
        assert json.loads(station.axonloom("runs", other, "--json").stdout) == []
        assert station.wait_for(run["id"], "COMPLETED", "FAILED", "CRASHED")["type"] == "COMPLETED"
        assert until(at_work, lambda runs: not runs, 30) == []
        join = Chain(load_configuration(config)).join
        assert len(join.ledger.read().done) == len(join.grid)
        unknown = station.axonloom("submit", "segment", config, "--pool", "cloud")
        assert unknown.returncode == 2
        assert "pools are local and slurm" in unknown.stderr
        waits = station.axonloom("submit", "segment", config, "--pool", "slurm")
        assert waits.returncode == 0
        assert "no worker of the pool slurm is running" in waits.stderr
        told = station.axonloom("status", config).stdout
        assert "segment  scheduled, on a work pool: http" in told or "segment  late, on a work pool: http" in told
    finally:
        station.down()
        for process in station.processes():
            process.kill()
