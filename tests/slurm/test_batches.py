"""Batches as SLURM jobs: jobs that are cancelled, leave early, never start, or whose flow dies."""

from __future__ import annotations

import contextvars
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml

from axonloom.chain import Chain
from axonloom.config.compute import ComputeSettings
from axonloom.config.load import load_configuration
from tests.flows.affinity_project import configure, make_project, segmentation
from tests.slurm_cluster import SlurmCluster

pytestmark = [pytest.mark.flow, pytest.mark.timeout(600)]

#: One of each kind is a slow test; what is like another is in the matrix of faults.
slow, fault = pytest.mark.slow, pytest.mark.fault

PROFILE = {"cores": 1, "memory": "950MB", "max_jobs": 2, "time": 10}
BLOCKS = 64


def compute(**profile: object) -> ComputeSettings:
    return ComputeSettings.model_validate({"on": "slurm", "profiles": {"cpu": {**PROFILE, **profile}}})


@pytest.fixture
def toy(prefect_api):
    from tests.flows import toy

    return toy


@contextmanager
def running(flow: Callable[..., Any], *arguments: Any) -> Iterator[Future[Any]]:
    """A flow on a thread of its own, with this one's Prefect settings."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(contextvars.copy_context().run, flow, *arguments)


def wait_for_outputs(folder: Path, count: int, run: Future[Any]) -> None:
    give_up = time.monotonic() + 120
    while len(list(folder.glob("*.out"))) < count:
        assert not run.done(), run.result()
        assert time.monotonic() < give_up
        time.sleep(0.1)


def worker_processes() -> list[psutil.Process]:
    """Everything that a worker job of this session's SLURM runs."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        words, environment = process.info["cmdline"] or [], process.info["environ"] or {}
        ours = environment.get("SLURM_CONF") == os.environ["SLURM_CONF"]
        if ours and "distributed.cli.dask_worker" in words and "blocks.worker_life" in words:
            found.append(process)
    return found


@slow
def test_the_segmentation_is_that_of_local_threads(prefect_api, empty_slurm, tmp_path):
    from flows.reconstruct import reconstruct

    project = make_project(tmp_path)
    here = load_configuration(configure(project, tmp_path / "here", (64, 64, 64)))
    there = load_configuration(
        configure(
            project,
            tmp_path / "there",
            (32, 32, 32),
            # Twice what a job of one worker has: a worker needs half a gigabyte to begin with.
            compute=compute(cores=2, workers=2, memory="1900MB").model_dump(mode="json"),
        )
    )
    before = {job.id for job in empty_slurm.jobs(ended=True)}
    expected, found = reconstruct(here), reconstruct(there)
    assert np.array_equal(segmentation(tmp_path / "there"), segmentation(tmp_path / "here"))
    assert found["voi_split"] == expected["voi_split"]
    for plan in Chain(there).stages():
        assert set(plan.ledger.read().completions.values()) == {1}
    empty_slurm.wait_empty(limit=20)
    jobs = [job for job in empty_slurm.jobs(ended=True) if job.id not in before]
    # All stages had the same ones.
    assert len([job for job in jobs if job.name.startswith("axonloom-cpu-")]) == 2
    # Keys go with the run.
    assert not [path for path in (tmp_path / "there" / "slurm").iterdir() if path.suffix != ".log"]


@pytest.mark.parametrize("victims", [pytest.param("one", marks=fault), pytest.param("all", marks=slow)])
def test_jobs_that_are_cancelled_are_replaced_and_no_finished_block_runs_again(toy, empty_slurm, tmp_path, victims):
    plan = toy.ToyStage.planned(tmp_path, BLOCKS, 0.3)
    with running(toy.toy, str(tmp_path), BLOCKS, compute(), 0.3) as run:
        wait_for_outputs(plan.folder, 6, run)
        jobs = [job.id for job in empty_slurm.jobs()]
        assert len(jobs) == 2
        chosen = jobs[:1] if victims == "one" else jobs
        empty_slurm.run("scancel", *chosen)
        assert run.result(timeout=200)["computed"] == BLOCKS
    state = plan.ledger.read()
    assert set(state.done) == set(range(BLOCKS))
    assert set(state.completions.values()) == {1}
    assert len([b for b, n in state.started.items() if n > 1]) <= len(chosen)
    empty_slurm.wait_empty(limit=20)
    assert len(empty_slurm.jobs(ended=True)) >= len(jobs) + (1 if victims == "all" else 0)


@fault
def test_a_node_that_dies_takes_nothing_with_it(toy, empty_slurm, tmp_path):
    plan = toy.ToyStage.planned(tmp_path, BLOCKS, 0.3)
    with running(toy.toy, str(tmp_path), BLOCKS, compute(), 0.3) as run:
        wait_for_outputs(plan.folder, 6, run)
        node = empty_slurm.jobs()[0].nodes
        empty_slurm.kill_node(node)
        try:
            assert run.result(timeout=200)["computed"] == BLOCKS
        finally:
            empty_slurm.revive_node(node)
    state = plan.ledger.read()
    assert set(state.done) == set(range(BLOCKS))
    assert set(state.completions.values()) == {1}
    empty_slurm.wait_empty(limit=60)


@fault
def test_workers_leave_between_two_batches_and_others_come(toy, empty_slurm, tmp_path):
    blocks = 8
    plan = toy.ToyStage.planned(tmp_path, blocks, 3.0)
    before = {job.id for job in empty_slurm.jobs(ended=True)}
    # 24 seconds of work for one job at a time, which takes nothing more after 20.
    settings = compute(max_jobs=1, leave_after="0:20")
    assert toy.toy(str(tmp_path), blocks, settings, 3.0)["computed"] == blocks
    state = plan.ledger.read()
    # They ended what they had begun: nothing was lost, and nothing was begun twice.
    assert set(state.started.values()) == {1}
    assert set(state.completions.values()) == {1}
    jobs = [job for job in empty_slurm.jobs(ended=True) if job.id not in before]
    assert len(jobs) >= 2
    assert "COMPLETED" in {job.state for job in jobs}
    empty_slurm.wait_empty(limit=20)


@slow
@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"partition": "nowhere"}, ["sbatch refused", "nowhere"]),
        (
            {"setup": ["echo this module is missing", "exit 3"]},
            ["before their workers arrived", "this module is missing"],
        ),
    ],
)
def test_workers_that_will_never_come_end_the_flow_with_a_sentence(toy, empty_slurm, tmp_path, profile, words):
    from blocks.slurm_cluster import WorkersError

    with pytest.raises(WorkersError) as caught:
        toy.toy(str(tmp_path), 20, compute(**profile), 0.1)
    for word in words:
        assert word in str(caught.value)
    empty_slurm.wait_empty(limit=20)


def start(prefect_api: str, config: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "axonloom", "segment", str(config)],
        env={**os.environ, "PREFECT_API_URL": prefect_api, "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return process


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(signal.SIGINT, marks=fault, id="ctrl-c"),
        pytest.param(signal.SIGTERM, marks=slow, id="sigterm"),
        pytest.param(signal.SIGKILL, marks=fault, id="kill-9"),
    ],
)
def test_nothing_stays_in_the_queue_when_the_flow_is_stopped(prefect_api, empty_slurm, tmp_path, how):
    config = configure(
        make_project(tmp_path), tmp_path / "work", (32, 32, 32), compute=compute().model_dump(mode="json")
    )
    fragment = Chain(load_configuration(config)).fragment
    process = start(prefect_api, config)
    while process.poll() is None and not fragment.ledger.read().done:
        time.sleep(0.1)
    assert empty_slurm.jobs()
    process.send_signal(how)
    output, _ = process.communicate(timeout=60)
    if how != signal.SIGKILL:
        assert process.returncode == 3, output
    # Without a flow, a process of its own cancels them.
    empty_slurm.wait_empty(limit=30)
    psutil.wait_procs(worker_processes(), timeout=30)
    assert not worker_processes()


@fault
def test_workers_end_by_themselves_when_nobody_can_cancel_them(prefect_api, empty_slurm: SlurmCluster, tmp_path):
    config = configure(
        make_project(tmp_path), tmp_path / "work", (32, 32, 32), compute=compute().model_dump(mode="json")
    )
    fragment = Chain(load_configuration(config)).fragment
    process = start(prefect_api, config)
    while process.poll() is None and not fragment.ledger.read().done:
        time.sleep(0.1)
    family = psutil.Process(process.pid).children(recursive=True)
    for member in [*family, psutil.Process(process.pid)]:
        member.kill()
    process.communicate(timeout=60)
    empty_slurm.wait_empty(limit=120)
    assert not worker_processes()


def check(config: Path, *more: str) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-m", "axonloom", "compute", "check", str(config), "--on", "slurm", "--json", *more],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@slow
def test_the_check_of_good_and_bad_profiles(empty_slurm, tmp_path):
    config = tmp_path / "axonloom.yaml"
    gpu = {**PROFILE, "gres": "gpu:1", "partition": "gpu"}
    config.write_text(yaml.safe_dump({"workspace": "work", "compute": {"profiles": {"cpu": PROFILE, "gpu": gpu}}}))
    code, (cpu, with_gpu) = check(config)
    assert cpu["ok"], cpu
    assert cpu["node"] in empty_slurm.nodes
    assert cpu["seconds_to_start"] < 60
    # The GPUs of the test's nodes are plain files: SLURM gives one, torch finds none.
    assert not with_gpu["ok"]
    assert "sees no GPU" in with_gpu["problem"]
    assert code == 2
    assert not (tmp_path / "work").exists()
    empty_slurm.wait_empty(limit=5)


@fault
@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"partition": "nowhere"}, "nowhere"),
        ({"memory": "900GB"}, "sbatch refused"),
        ({"setup": ["echo no such module", "exit 1"]}, "no such module"),
        ({"python": "/usr/bin/false"}, "ended without an answer"),
        ({"setup": ["export PYTHONPATH=/nowhere", "cd /"], "python": "/usr/bin/python3"}, "No module named"),
        ({"partition": "gpu"}, "did not start within 3 s"),
    ],
)
def test_what_is_wrong_with_a_profile_is_said(empty_slurm, tmp_path, profile, words):
    from blocks.check import check

    # Every CPU of this partition's only node is taken.
    taken = empty_slurm.sbatch("#!/bin/sh\nsleep 60\n", "--partition=gpu", f"--cpus-per-task={empty_slurm.cpus}")
    empty_slurm.wait_for(lambda: empty_slurm.job(taken).state == "RUNNING", "the node is taken")
    (report,) = check(compute(**profile), tmp_path / "work", limit=3, api=None)
    assert words in (report.problem or "") + report.log, report
    empty_slurm.run("scancel", taken)
    assert not (tmp_path / "work").exists()
    empty_slurm.wait_empty(limit=5)
