"""The SLURM that the other tests stand on."""

import psutil
import pytest

from tests.slurm_cluster import SlurmCluster, slurm_cluster


@pytest.mark.slow
def test_jobs_run_and_a_gpu_is_given(empty_slurm: SlurmCluster):
    plain = empty_slurm.sbatch("#!/bin/bash\nhostname\n")
    gpu = empty_slurm.sbatch("#!/bin/bash\necho gpus $SLURM_GPUS_ON_NODE\n", "--partition=gpu", "--gres=gpu:1")
    empty_slurm.wait_for(lambda: empty_slurm.job(plain).state == "COMPLETED", "the job completes")
    empty_slurm.wait_for(lambda: empty_slurm.job(gpu).state == "COMPLETED", "the GPU job completes")
    assert (empty_slurm.base / f"log/job-{gpu}.out").read_text() == "gpus 1\n"


@pytest.mark.fault
def test_two_at_once_share_nothing_and_leave_nothing(slurm: SlurmCluster):
    with slurm_cluster(nodes=1, gpus=0) as other:
        base = other.base
        job = other.sbatch("#!/bin/bash\nsleep 86397\n")
        other.wait_for(lambda: other.job(job).state == "RUNNING", "the job runs")
        (sleeping,) = [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "86397"]]
    assert not base.exists()
    assert not sleeping.is_running()
    assert slurm.node_state("n1") == "idle"
