"""Which processes belong to a worker that may be gone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from deployments.processes import WORKER, runs_of
from deployments.up import _Worker

API = {"PREFECT_API_URL": "http://127.0.0.1:4299/api"}
RUN = {"PREFECT__FLOW_RUN_ID": "0b9f"}


@contextmanager
def sleeping(**environment: str) -> Iterator[psutil.Process]:
    """A process with an environment; ended at the end."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "SLURM", "AXONLOOM"))}
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"],
        env={**clean, **API, **environment},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def test_runs_of_other_workers_and_jobs_of_a_scheduler_are_left_alone(tmp_path, monkeypatch):
    with (
        sleeping(**RUN, **{WORKER: "mine"}) as left,
        sleeping(**RUN, **{WORKER: "another"}) as other,
        sleeping(**RUN) as by_hand,
        sleeping(**RUN, **{WORKER: "mine"}, SLURM_JOB_ID="7") as job,
        sleeping(**{WORKER: "mine"}) as no_run,
    ):
        assert runs_of("mine") == [left]
        # The worker itself is gone: its number belongs to no process of that time.
        worker = _Worker(tmp_path)
        worker.record.write_text(
            f'{{"pid": {os.getpid()}, "started": 1.0, "api": "{API["PREFECT_API_URL"]}", "id": "mine"}}'
        )
        assert worker.stop() is None
        assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE
        for process in (other, by_hand, job, no_run):
            assert process.status() != psutil.STATUS_ZOMBIE
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        assert runs_of("another") == []


def test_what_a_killed_worker_left_belongs_to_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setattr("deployments.up._online", lambda since: True)
    monkeypatch.setattr("deployments.up.sys.executable", shutil.which("false"))
    worker = _Worker(tmp_path)
    worker.ensure(API["PREFECT_API_URL"], tmp_path, None)
    first = json.loads(worker.record.read_text())["id"]
    # It has ended: a zombie, or a number that nobody has.
    worker.ensure(API["PREFECT_API_URL"], tmp_path, None)
    assert json.loads(worker.record.read_text())["id"] == first
    worker.stop()
    worker.ensure(API["PREFECT_API_URL"], tmp_path, None)
    assert json.loads(worker.record.read_text())["id"] != first
