"""Compute settings: one model for YAML and saved blocks, none of it in a fingerprint; and what SLURM is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from axonloom.chain import Chain
from axonloom.config.compute import ComputeSettings, JobProfile, megabytes_of, seconds_of
from axonloom.config.load import ConfigurationError, load_configuration
from axonloom.volumes import create_volume
from blocks import slurm
from tests.flows.affinity_project import configure

FULL = {
    "on": "slurm",
    "workers": 7,
    "retries": 1,
    "profiles": {
        "cpu": {
            "partition": "main", "account": "lab", "qos": "normal", "time": "1-02:03:04", "cores": 8, "workers": 2,
            "memory": "64GB", "constraint": "avx512&ib", "setup": ["module load gcc"],
            "directives": ["--exclude=node07", "-C 'a b'"], "scratch": "$TMPDIR/axonloom", "max_jobs": 40,
            "leave_after": "20:00:00",
        },
        "gpu": {"gres": "gpu:1", "partition": "gpu", "python": "/opt/env/bin/python"},
    },
    "network": {"interface": "ib0", "encrypted": False},
}  # fmt: skip


@given(st.integers(0, 9), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_times_are_those_of_slurm(days, hours, minutes, seconds):
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total:
        assert seconds_of(f"{days}-{hours}:{minutes:02}:{seconds:02}") == total
        assert seconds_of(f"{days * 24 + hours}:{minutes:02}:{seconds:02}") == total
    else:
        with pytest.raises(ValueError, match="no time at all"):
            seconds_of("0-0")
    if hours:
        assert seconds_of(f"{days}-{hours}") == (days * 24 + hours) * 3600
    if minutes:
        assert seconds_of(str(minutes)) == minutes * 60
        assert seconds_of(f"{minutes}:{seconds:02}") == minutes * 60 + seconds


def test_amounts_of_memory():
    assert [megabytes_of(m) for m in ("16GB", "16G", "16GiB", "900M", "1.5T", "2048K")] == [
        16384, 16384, 16384, 900, 1572864, 2,
    ]  # fmt: skip
    for wrong in ("16", "GB", "-1G", "1P", "100K"):
        with pytest.raises(ValueError, match=r"memory|megabyte"):
            megabytes_of(wrong)


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ({"time": "soon"}, "no time"),
        ({"memory": "much"}, "no amount of memory"),
        ({"partition": "main --wrap=ls"}, "must be one word"),
        ({"account": "--uid=0"}, "must be one word"),
        ({"gres": ""}, "must be one word"),
        ({"setup": ["a\nb"]}, "single line"),
        ({"directives": ["exclude=node07"]}, "no option of sbatch"),
        ({"scratch": "/tmp/$(id)"}, "no path"),
        ({"scratch": '/tmp"; id; "'}, "no path"),
        ({"python": "python; id"}, "no path"),
        ({"cores": 2, "workers": 3}, "give each a core"),
        ({"time": "10", "leave_after": "10:00"}, "not before the time limit"),
        ({"walltime": "10"}, "Extra inputs"),
    ],
)
def test_what_cannot_be_is_said(profile, words):
    with pytest.raises(ValidationError, match=words):
        JobProfile.model_validate(profile)


def test_a_wrong_profile_in_a_file_names_its_key(tmp_path):
    path = tmp_path / "axonloom.yaml"
    path.write_text(yaml.safe_dump({"compute": {"profiles": {"cpu": {"partion": "main"}}}}))
    with pytest.raises(ConfigurationError, match=r"nearest known key is compute\.profiles\.(cpu|gpu)\.partition"):
        load_configuration(path)
    with pytest.raises(ConfigurationError, match=r"compute\.profiles\.gpu\.time: 'x' is no time"):
        load_configuration(None, ["compute.profiles.gpu.time=x"])


def test_nothing_of_compute_makes_a_stage_stale(tmp_path):
    for name, kind, channels in (("affinities", np.uint8, 3), ("labels", np.uint64, None)):
        create_volume(f"{tmp_path}/{name}.zarr", shape=(32, 32, 64), dtype=kind, channels=channels, chunk=(32, 32, 32))
    plain = load_configuration(configure(tmp_path, tmp_path / "work", (32, 32, 32), workers=1))
    expected = [plan.fingerprint for plan in Chain(plain).stages()]
    assert len(expected) > 5
    for compute in (FULL, {"on": "dask", "workers": 9}, {"block": "lab-gpu"}):
        other = load_configuration(configure(tmp_path, tmp_path / "work", (32, 32, 32), compute=compute))
        assert [plan.fingerprint for plan in Chain(other).stages()] == expected


def test_workers_of_a_job():
    assert JobProfile(cores=8).workers_per_job == 8
    assert JobProfile(cores=8, gres="gpu:1").workers_per_job == 1
    assert JobProfile(cores=8, workers=3).threads == 2
    assert JobProfile(time="01:00:00").leaving_seconds == 54 * 60
    assert JobProfile(time="2-0").leaving_seconds == 2 * 86400 - 600


def test_options_are_arguments_and_say_what_the_profile_says():
    profile = ComputeSettings.model_validate(FULL).profiles.cpu
    options = slurm.options_of(profile, "a name", Path("/a folder/%j.log"))
    assert options == [
        "--job-name=a name", "--output=/a folder/%j.log", "--open-mode=append", "--nodes=1", "--ntasks=1",
        "--cpus-per-task=8", "--mem=65536M", "--time=1564", "--partition=main", "--account=lab", "--qos=normal",
        "--constraint=avx512&ib", "--exclude=node07", "-C", "a b",
    ]  # fmt: skip


def test_a_script_hands_every_word_on_as_it_is(tmp_path):
    profile = JobProfile(setup=("greeting='hello there'", "export greeting"), scratch="$HOME/my/scratch")
    words = ["a b", "$(touch /tmp/never)", "'", '"', "`id`", "*", ""]
    script = slurm.script_of(
        profile,
        [
            "python3",
            "-c",
            "import os, sys; print(sys.argv[1:], os.environ['X'], os.environ['greeting'], os.environ['TMPDIR'])",
            *words,
        ],
        {"X": "y'; exit 1"},
    )
    done = subprocess.run(
        ["bash"], input=script, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.stdout.strip() == f"{words!r} y'; exit 1 hello there {tmp_path}/my/scratch", done.stderr
    assert (tmp_path / "my" / "scratch").is_dir()


def test_workers_share_the_gpus_of_their_job():
    from blocks.worker_life import gpu_of

    assert [gpu_of(f"axonloom-gpu-ab12cd-3-{k}", "0,2,5") for k in range(4)] == ["0", "2", "5", "0"]
    assert gpu_of("axonloom-gpu-ab12cd-3", "0,2") == "0,2"
    # Processes of this machine are called by their number.
    assert [gpu_of(str(k), "0,2") for k in range(3)] == ["0", "2", "0"]


def test_gpus_of_a_machine_are_its_device_files(tmp_path):
    from blocks.worker_life import gpus_of_machine

    assert gpus_of_machine(tmp_path) == []
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert gpus_of_machine(tmp_path) == ["0", "2", "10"]


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch):
    from blocks.compute import Compute

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    runner = Compute(settings=ComputeSettings(on="dask", workers=2)).task_runner()
    with runner:
        found = runner.client.run(lambda: __import__("os").environ["CUDA_VISIBLE_DEVICES"])
    assert sorted(found.values()) == ["4", "6"]


def test_importing_dask_jobqueue_leaves_ctrl_c_alone():
    code = (
        "import signal, threading; before = signal.getsignal(signal.SIGINT)\n"
        "thread = threading.Thread(target=__import__, args=['blocks.slurm_cluster']); thread.start(); thread.join()\n"
        "import blocks.slurm_cluster; assert signal.getsignal(signal.SIGINT) is before"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.flow
def test_settings_are_saved_and_found_by_name(prefect_api, tmp_path):
    from blocks.compute import ComputeBlockError, resolved, save, saved_names

    settings = ComputeSettings.model_validate(FULL)
    save("lab-gpu", settings)
    assert "lab-gpu" in saved_names()
    assert resolved(ComputeSettings(block="lab-gpu", workers=3)) == settings
    save("lab-gpu", ComputeSettings(on="dask"))
    assert resolved(ComputeSettings(block="lab-gpu")).on == "dask"
    assert resolved(settings) is settings
    with pytest.raises(ComputeBlockError, match=r"no compute settings were saved as 'lab-cpu'.*lab-gpu"):
        resolved(ComputeSettings(block="lab-cpu"))
    with pytest.raises(ComputeBlockError, match="cannot be a name"):
        save("Lab GPU", settings)
    with pytest.raises(ComputeBlockError, match="saved already"):
        save("twice", ComputeSettings(block="lab-gpu"))


def test_on_takes_a_place_or_a_block():
    from cli.options import with_place

    assert load_configuration(None, with_place([], "slurm")).compute.on == "slurm"
    assert load_configuration(None, with_place(["compute.workers=3"], "block/lab-gpu")).compute.block == "lab-gpu"
    assert with_place(None, None) == []


@pytest.mark.flow
def test_the_check_of_this_machine(tmp_path):
    from blocks.check import check

    for place in ("local", "dask"):
        (report,) = check(ComputeSettings(on=place), tmp_path / "a" / "work", 30, None)
        assert report.problem is None
        assert report.version is not None
    (report,) = check(ComputeSettings(), tmp_path / "a" / "work", 30, "http://127.0.0.1:9/api")
    assert "does not reach the Prefect server" in (report.problem or "")
    (report,) = check(ComputeSettings(), tmp_path / "a" / "work", 30, None, ["no_such_module"])
    assert "no_such_module" in (report.problem or "")
    assert not (tmp_path / "a").exists()
