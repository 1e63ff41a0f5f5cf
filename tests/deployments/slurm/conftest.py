"""A server, a pool of type axonloom-slurm, its worker, and deployments on a SLURM of this session."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.flows import Flow
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.states import Cancelling, Scheduled

from deployments.server import prefect_server
from deployments.slurm.worker import SlurmWorker
from tests.slurm_cluster import SlurmCluster

POOL = "slurm-test"
#: Seconds that anything may take here: the machine may be busy.
PATIENCE = 120.0


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that leads to a server of this folder's own."""
    home = tmp_path_factory.mktemp("prefect")
    patch = pytest.MonkeyPatch()
    patch.delenv("PREFECT_API_URL", raising=False)
    patch.setenv("PREFECT_HOME", str(home))
    with temporary_settings({PREFECT_HOME: home}, restore_defaults={PREFECT_API_URL}), prefect_server() as url:
        yield {"PREFECT_API_URL": url, "PREFECT_HOME": str(home)}
    patch.undo()


class Pool:
    """What the tests do to the pool."""

    def __init__(self, slurm: SlurmCluster, server: dict[str, str], folder: Path) -> None:
        self.slurm = slurm
        self.server = server
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []

    # Workers

    def start_worker(self, name: str = "first") -> subprocess.Popen[bytes]:
        log = (self.folder / f"worker-{name}.log").open("ab")
        command = [
            sys.executable,
            "-m",
            "prefect",
            "worker",
            "start",
            "--pool",
            POOL,
            "--type",
            "axonloom-slurm",
            "--name",
            name,
        ]
        worker = subprocess.Popen(
            command,
            env={
                **os.environ,
                **self.server,
                **self.slurm.environment,
                "PREFECT_WORKER_QUERY_SECONDS": "1",
                "PREFECT_WORKER_HEARTBEAT_SECONDS": "3",
                "PREFECT_WORKER_PREFETCH_SECONDS": "1",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.workers.append(worker)
        return worker

    def kill_workers(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
        self.workers.clear()

    # Runs

    def deploy(self, name: str, /, **job_variables: Any) -> str:
        repository = Path(__file__).resolve().parents[3]
        flow = Flow.from_source(str(repository), "tests/deployments/slurm/job_flow.py:stay")
        with get_client(sync_client=True) as client:
            if all(pool.name != POOL for pool in client.read_work_pools()):
                template = SlurmWorker.get_default_base_job_template()
                client.create_work_pool(WorkPoolCreate(name=POOL, type="axonloom-slurm", base_job_template=template))
        variables = {"poll_seconds": 1.0, "log_folder": str(self.folder / "logs %d"), "memory": "600M", **job_variables}
        flow.deploy(
            name,
            work_pool_name=POOL,
            job_variables=variables,
            build=False,
            push=False,
            print_next_steps=False,
            ignore_warnings=True,
        )
        return f"stay/{name}"

    def start(self, deployment: str, **parameters: Any) -> Run:
        folder = Path(self.folder, f"run-{time.monotonic_ns()}")
        folder.mkdir()
        run = run_deployment(deployment, parameters={"folder": str(folder), **parameters}, timeout=0)
        assert isinstance(run, FlowRun)
        return Run(self, run.id, folder)


@dataclass
class Run:
    """One flow run."""

    pool: Pool
    id: UUID
    folder: Path

    def read(self) -> FlowRun:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(self.id)

    @property
    def state(self) -> State:
        state = self.read().state
        assert state is not None
        return state

    def wait(self, condition: Callable[[], object], what: str, limit: float = PATIENCE) -> None:
        give_up = time.monotonic() + limit
        while not condition():
            if time.monotonic() > give_up:
                raise AssertionError(f"after {limit:.0f} s not {what}: {self.state!r}; its log:\n{self.log()}")
            time.sleep(0.3)

    def wait_state(self, *names: str, limit: float = PATIENCE) -> State:
        self.wait(lambda: self.state.name in names, " or ".join(names), limit)
        return self.state

    def wait_inside(self, starts: int = 1) -> str:
        """Until the flow's own code runs for the ``starts``-th time; the id of its job."""
        self.wait(lambda: len(self.lines("started")) >= starts, f"started {starts} times")
        return self.lines("started")[-1].split()[0]

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def go_on(self) -> None:
        (self.folder / "go").touch()

    def retry(self) -> None:
        """What the button in the UI does."""
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(self.id, Scheduled(name="AwaitingRetry"), force=False)

    def cancel(self) -> None:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(self.id, Cancelling())

    def jobs(self) -> list[str]:
        """Every job that was ever submitted for this run."""
        return [job.id for job in self.pool.slurm.jobs(ended=True) if job.name.endswith(str(self.id))]

    def history(self) -> list[str]:
        with get_client(sync_client=True) as client:
            states = client.read_flow_run_states(self.id)
        return [state.name or "" for state in sorted(states, key=lambda state: state.timestamp)]

    def wait_log(self, text: str, limit: float = 30.0) -> None:
        """Until the run's log in Prefect has ``text``: log records travel in bursts."""
        self.wait(lambda: text in self.log(), f"logged {text!r}", limit)

    def log(self) -> str:
        from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

        with get_client(sync_client=True) as client:
            wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[self.id]))
            response = client.request(
                "POST", "/logs/filter", json={"logs": wanted.model_dump(mode="json"), "limit": 200}
            )
        return "\n".join(record["message"] for record in response.json())


@pytest.fixture(scope="package")
def pool(slurm: SlurmCluster, server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """A pool with one worker."""
    slurm.cancel_all()
    made = Pool(slurm, server, tmp_path_factory.mktemp("pool"))
    made.deploy("plain")
    made.start_worker()
    try:
        yield made
    finally:
        made.kill_workers()
        slurm.cancel_all()
