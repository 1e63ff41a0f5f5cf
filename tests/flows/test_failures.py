"""Kill -9, damaged input, bad input: through the command line, as users meet them."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from axonloom.geometry import Box
from axonloom.ledger import LedgerState
from tests.flows.affinity_project import configure, make_project, segmentation

pytestmark = pytest.mark.flow


def axonloom(prefect_api: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "axonloom", *map(str, arguments)],
        env={**os.environ, "PREFECT_API_URL": prefect_api, "COLUMNS": "200", "PYTHONFAULTHANDLER": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code and output; one that hangs is aborted, so that what each of its threads was waiting for is told."""
    try:
        output, _ = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        output, _ = process.communicate(timeout=60)
        pytest.fail(f"it did not end:\n{output}")
    return process.returncode, output


def ledgers(config: Path) -> dict[str, LedgerState]:
    return {plan.fingerprint: plan.ledger.read() for plan in Chain(load_configuration(config)).stages()}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def undisturbed(prefect_api, project, tmp_path_factory):
    workspace = tmp_path_factory.mktemp("undisturbed") / "work"
    code, output = finished(axonloom(prefect_api, "run", configure(project, workspace, (32, 32, 32))))
    assert code == 0, output
    return segmentation(workspace)


def test_killed_three_times_it_ends_with_the_same_voxels_and_no_block_runs_twice(
    prefect_api, project, undisturbed, tmp_path
):
    config = configure(project, tmp_path / "work", (32, 32, 32))
    blocks = sum(len(plan.grid) for plan in Chain(load_configuration(config)).stages())
    chance = random.Random(3)
    kills = 0
    for share in (0.1, 0.4, 0.7):
        before = ledgers(config)
        process = axonloom(prefect_api, "run", config)
        goal = share * blocks + chance.uniform(0, 5)
        while process.poll() is None and sum(len(s.done) for s in ledgers(config).values()) < goal:
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        after = ledgers(config)
        for fingerprint, state in before.items():
            begun = {b for b, n in after[fingerprint].started.items() if n > state.started.get(b, 0)}
            assert not begun & state.done
    assert kills == 3
    code, output = finished(axonloom(prefect_api, "run", config))
    assert code == 0, output
    assert np.array_equal(segmentation(tmp_path / "work"), undisturbed)
    for state in ledgers(config).values():
        assert set(state.completions.values()) == {1}


def test_a_block_that_raises_is_reported_and_running_again_does_just_that_block(
    prefect_api, project, undisturbed, tmp_path
):
    own = tmp_path / "project"
    shutil.copytree(project, own)
    (chunk,) = (own / "affinities.zarr").glob("c/0/1/1/2")
    good = chunk.read_bytes()
    kept = chunk.stat()
    # Damage that a listing does not show, as a bad disk makes it: the input keeps its identity, and the repair does too.
    chunk.write_bytes(bytes(len(good)))
    os.utime(chunk, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    config = configure(own, tmp_path / "work", (32, 32, 32))
    code, output = finished(axonloom(prefect_api, "segment", config))
    assert code == 1, output
    # What a user can mend is said once, as a sentence; the traceback is for the log and the ledger.
    assert "Traceback" not in output
    (sentence,) = [line for line in output.splitlines() if line.startswith("block ")]
    assert "affinities.zarr" in sentence
    (log,) = (tmp_path / "work" / "logs").glob("*.log")
    assert "Traceback" in log.read_text()
    fragment = Chain(load_configuration(config)).fragment
    state = fragment.ledger.read()
    damaged = Box(start=(32, 32, 64), size=(32, 32, 32))
    reads_it = {block.index for block in fragment.grid if block.read.clipped(damaged).voxels}
    assert set(state.failed) == reads_it
    assert state.done == set(range(len(fragment.grid))) - reads_it
    code, output = finished(axonloom(prefect_api, "status", config, "--json"))
    assert json.loads(output)[0]["failed"] == len(state.failed)
    chunk.write_bytes(good)
    os.utime(chunk, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    code, output = finished(axonloom(prefect_api, "run", config))
    assert code == 0, output
    again = fragment.ledger.read()
    assert {b for b, n in again.started.items() if n > 1} == set(state.failed)
    assert np.array_equal(segmentation(tmp_path / "work"), undisturbed)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"merge": {"threshhold": 0.5}}, "nearest known key is merge.threshold"),
        ({"volumes": {"affinities": {"path": "nothing.zarr"}}}, "nothing.zarr"),
        ({"volumes": {}}, "volumes.image is not set"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_code_2_before_any_server_starts(
    prefect_api, project, tmp_path, more, sentence
):
    config = configure(project, tmp_path / "work", (32, 32, 32), **more)
    code, output = finished(axonloom("http://127.0.0.1:9/api", "run", config))
    assert code == 2
    assert sentence in output
    assert "Traceback" not in output


def test_ctrl_c_leaves_a_run_that_goes_on(prefect_api, project, undisturbed, tmp_path):
    config = configure(project, tmp_path / "work", (32, 32, 32))
    process = axonloom(prefect_api, "run", config)
    while process.poll() is None and not any(s.done for s in ledgers(config).values()):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    code, output = finished(process)
    assert code == 3, output
    code, output = finished(axonloom(prefect_api, "run", config))
    assert code == 0, output
    assert np.array_equal(segmentation(tmp_path / "work"), undisturbed)
