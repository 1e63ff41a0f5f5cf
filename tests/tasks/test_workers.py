"""Workers that die in a run, and the kind of worker that each stage gets."""

from __future__ import annotations

import contextvars
import os
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from axonloom.config.compute import ComputeSettings
from tasks.workers import profile_of

BLOCKS, SECONDS = 64, 0.1


def wait_for_outputs(folder: Path, count: int, run: Future[object]) -> list[Path]:
    give_up = time.monotonic() + 120
    while len(found := sorted(folder.glob("*.out"))) < count:
        assert not run.done(), run.result()
        assert time.monotonic() < give_up, f"only {len(found)} blocks after two minutes"
        time.sleep(0.05)
    return found


def test_inference_has_the_gpu_profile_where_there_is_one():
    with_gpu = ComputeSettings.model_validate({"on": "slurm", "profiles": {"gpu": {"gres": "gpu:1"}}})
    assert profile_of("infer", with_gpu) == "gpu"
    assert profile_of("fragment", with_gpu) == "cpu"
    assert profile_of("infer", ComputeSettings(on="slurm")) == "cpu"


@pytest.mark.flow
def test_a_dask_worker_that_is_killed_is_replaced_and_no_finished_block_runs_again(prefect_api, tmp_path):
    from tests.flows import toy

    plan = toy.ToyStage.planned(tmp_path, BLOCKS, SECONDS)
    settings = ComputeSettings(on="dask", workers=2)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(contextvars.copy_context().run, toy.toy, str(tmp_path), BLOCKS, settings, SECONDS)
        first = wait_for_outputs(plan.folder, 6, run)[0]
        worker = psutil.Process(int(first.read_text()))
        assert worker.pid != os.getpid()
        worker.send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
        assert run.result(timeout=120) == {"computed": BLOCKS, "done_before": 0}
    assert time.monotonic() - killed_at < 60
    state = plan.ledger.read()
    assert set(state.done) == set(range(BLOCKS))
    assert set(state.completions.values()) == {1}
    # What the worker had in hand was begun again, and nothing else.
    assert 1 <= len([b for b, n in state.started.items() if n > 1]) <= 2


@pytest.mark.flow
def test_without_slurm_the_flow_says_so(prefect_api, tmp_path, monkeypatch):
    from blocks.slurm_cluster import WorkersError
    from tests.flows import toy

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkersError, match="sbatch is not on this machine"):
        toy.toy(str(tmp_path), 4, ComputeSettings(on="slurm"))
