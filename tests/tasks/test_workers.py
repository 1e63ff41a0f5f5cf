"""Workers that die in a run, and the kind of worker that each stage gets."""

from __future__ import annotations

import contextvars
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import torch

from axonloom.config.compute import ComputeSettings, JobProfile, ProfilesSettings
from axonloom.config.infer import InferSettings
from axonloom.config.load import ConfigurationError
from tasks.workers import profile_of, require_device_chosen

BLOCKS, SECONDS = 64, 0.1
ON_GPU_JOBS = ComputeSettings(on="slurm", profiles=ProfilesSettings(gpu=JobProfile(gres="gpu:1")))


def kill_a_worker_at_work(folder: Path, done_first: int, run: Future[object]) -> psutil.Process:
    """Kill a worker that has begun a block and not ended it, once ``done_first`` blocks are done."""
    give_up = time.monotonic() + 120
    while True:
        assert not run.done(), run.result()
        assert time.monotonic() < give_up, "no worker was met at work in two minutes"
        if len(list(folder.glob("*.out"))) >= done_first:
            for begun in folder.glob("*.begun"):
                if begun.with_suffix(".out").exists() or not (pid := begun.read_text()):
                    continue
                worker = psutil.Process(int(pid))
                # Stopped, it cannot end the block between the look and the kill.
                worker.suspend()
                if not begun.with_suffix(".out").exists():
                    worker.kill()
                    return worker
                worker.resume()
        time.sleep(0.02)


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_a_device_that_was_chosen_is_taken(device):
    require_device_chosen(InferSettings(device=device), ON_GPU_JOBS)


def test_where_jobs_have_gpus_and_this_machine_sees_none_a_device_is_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        ConfigurationError, match=r"asks for gpu:1, and infer\.device is auto.*set infer\.device to cuda"
    ):
        require_device_chosen(InferSettings(), ON_GPU_JOBS)
    for other in ({"on": "local"}, {"profiles": ProfilesSettings()}, {"profiles": ProfilesSettings(gpu=JobProfile())}):
        require_device_chosen(InferSettings(), ON_GPU_JOBS.model_copy(update=other))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    require_device_chosen(InferSettings(), ON_GPU_JOBS)


def test_where_this_machine_sees_a_gpu_and_jobs_have_none_a_device_is_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for profiles in (ProfilesSettings(), ProfilesSettings(gpu=JobProfile())):
        jobs = ON_GPU_JOBS.model_copy(update={"profiles": profiles})
        with pytest.raises(ConfigurationError, match=r"the GPU that is seen here.*set infer\.device to cpu"):
            require_device_chosen(InferSettings(), jobs)
        require_device_chosen(InferSettings(device="cpu"), jobs)
        require_device_chosen(InferSettings(), jobs.model_copy(update={"on": "local"}))


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
        assert kill_a_worker_at_work(plan.folder, 6, run).pid != os.getpid()
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
