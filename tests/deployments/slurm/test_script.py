"""What is handed to sbatch, and the batch script run by a real bash."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from deployments.slurm.log_tail import log_tail
from deployments.slurm.script import Resources, batch_script, escaped, job_environment, job_options


def test_every_setting_is_one_argument():
    resources = Resources(
        partition="gpu",
        account="lab",
        qos="high",
        time_limit="1-02:00:00",
        memory="64G",
        cpus=8,
        gpus=2,
        gpu_type="a100",
        constraint="avx512&ssd",
        extra=["--reservation=week end"],
    )
    assert resources.options() == [
        "--partition=gpu",
        "--account=lab",
        "--qos=high",
        "--time=1-02:00:00",
        "--mem=64G",
        "--ntasks=1",
        "--cpus-per-task=8",
        "--gres=gpu:a100:2",
        "--constraint=avx512&ssd",
        "--reservation=week end",
    ]


def test_what_is_not_given_is_left_to_the_cluster():
    # A field that somebody emptied in the form is "".
    assert Resources(partition="", time_limit="  ", memory=None).options() == ["--ntasks=1", "--cpus-per-task=1"]
    options = job_options(Resources(), "name", "comment", "/log", None, requeue=False)
    assert "--no-requeue" in options
    assert not any(option.startswith("--chdir") for option in options)


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        ({"time_limit": "two hours"}, "no time limit"),
        ({"memory": "16 gigabytes"}, "no amount of memory"),
        ({"extra": ["-x n1"]}, "no long sbatch option"),
        ({"extra": ["--job-name=mine"]}, "is set by the worker"),
        ({"cpus": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(given_settings, message):
    with pytest.raises(ValidationError, match=message):
        Resources(**given_settings)


@settings(max_examples=25, deadline=None)
@given(
    arguments=st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=5
    )
)
def test_no_argument_is_ever_read_by_the_shell(tmp_path_factory, arguments):
    script = tmp_path_factory.getbasetemp() / "script.sh"
    script.write_text(batch_script(["export SET_UP=yes"]))
    say = "import json, os, sys; print(json.dumps([os.environ['SET_UP'], *sys.argv[1:]]))"
    output = subprocess.run(
        ["/bin/bash", str(script), sys.executable, "-c", say, *arguments], check=True, capture_output=True, text=True
    ).stdout
    assert json.loads(output) == ["yes", *arguments]


def test_the_script_becomes_the_command():
    # So a signal to the batch shell is one to the flow, and its exit code the job's.
    script = batch_script([])
    done = subprocess.run(
        ["/bin/bash", "-c", script, "job", sys.executable, "-c", "import os, signal; os.kill(os.getpid(), 9)"]
    )
    assert done.returncode == -9


def test_the_environment_holds_nothing_that_would_steer_sbatch():
    base = {
        "PATH": "/bin",
        "SLURM_CONF": "/etc/slurm.conf",
        "SLURM_JOB_ID": "4",
        "SBATCH_PARTITION": "wrong",
        "PREFECT__WORKER_NAME": "me",
        "LANG": "C",
    }
    assert job_environment(base, {"LANG": "de", "EMPTY": None, "WITH_COMMA": "a,b\nc"}) == {
        "PATH": "/bin",
        "SLURM_CONF": "/etc/slurm.conf",
        "LANG": "de",
        "WITH_COMMA": "a,b\nc",
    }


def test_a_percent_sign_in_a_path_is_no_pattern():
    assert escaped(Path("/data/50%j")) == "/data/50%%j"


def test_the_end_of_a_log(tmp_path):
    log = tmp_path / "log"
    assert log_tail(log) == ""
    assert log_tail(None) == ""
    log.write_text("".join(f"line {number}\n" for number in range(1000)) + "last, without its end")
    assert log_tail(log, lines=2) == "line 999\nlast, without its end"
    cut = log_tail(log, size=30).splitlines()
    assert cut == ["last, without its end"]
    log.write_bytes(b"\xff\xfe" + os.urandom(50) + b"\nend")
    assert log_tail(log).splitlines()[-1] == "end"
