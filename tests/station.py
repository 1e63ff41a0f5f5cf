"""``axonloom up`` for tests: a server and a worker of their own, reached through the command line as a person would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

#: Seconds for anything that a busy machine should have done by then.
PATIENCE = 240.0


class Station:
    """A Prefect home, a folder for runs, and what runs there.

    Attributes
    ----------
    home : Prefect's folder
    folder : where runs start
    api, ui : addresses, after :meth:`up`
    """

    def __init__(self, home: Path, folder: Path) -> None:
        self.home, self.folder = home, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.api = self.ui = ""
        self.worker = 0

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
        # Packages are those of this test session, also where another checkout is installed.
        path = os.pathsep.join(p for p in sys.path if p)
        return {**kept, "PREFECT_HOME": str(self.home), "PYTHONPATH": path, "COLUMNS": "200"}

    def axonloom(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a command in the folder, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "axonloom", *map(str, arguments)],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    def up(self, *arguments: object) -> dict[str, Any]:
        done = self.axonloom("up", "--json", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        told = json.loads(done.stdout)
        self.api, self.ui, self.worker = told["server"], told["ui"], told["worker"]
        return told

    def down(self) -> dict[str, Any]:
        done = self.axonloom("down", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def processes(self) -> list[psutil.Process]:
        """Every living process that has this station's home in its environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PREFECT_HOME") == str(self.home) and process.pid != os.getpid():
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return [p for p in found if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]

    # What the API says -------------------------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def post(self, path: str, **content: Any) -> Any:
        return self._ask("POST", path, content)

    def patch(self, path: str, **content: Any) -> None:
        self._ask("PATCH", path, content)

    def _ask(self, method: str, path: str, content: Any = None) -> Any:
        """Ask until the server answers: after a kill it is away for some seconds."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                answer = httpx.request(method, f"{self.api}/{path}", json=content, timeout=60)
            except httpx.TransportError:
                if time.monotonic() > give_up:
                    raise
            else:
                answer.raise_for_status()
                return answer.json() if answer.content else None
            time.sleep(1)

    def deployment(self, name: str) -> dict[str, Any]:
        """``flow/name``."""
        return self.get(f"deployments/name/{name}")

    def start(self, deployment: str, configuration: dict[str, Any]) -> str:
        """Start a run; returns its id."""
        identifier = self.deployment(deployment)["id"]
        return self.post(
            f"deployments/{identifier}/create_flow_run",
            parameters={"configuration": configuration},
            idempotency_key=uuid.uuid4().hex,
        )["id"]

    def state(self, run: str) -> dict[str, Any]:
        return self.get(f"flow_runs/{run}")["state"]

    def runs(self, flow: str) -> list[dict[str, Any]]:
        """All runs of a flow, oldest first."""
        return self.post("flow_runs/filter", flows={"name": {"any_": [flow]}}, sort="EXPECTED_START_TIME_ASC")

    def wait_for(self, run: str, *types: str, patience: float = PATIENCE) -> dict[str, Any]:
        """The state of a run once it is of one of these types."""
        return until(lambda: self.state(run), lambda state: state["type"] in types, patience)


def until(look: Callable[[], Any], good: Callable[[Any], bool], patience: float = PATIENCE) -> Any:
    """Look again and again until what is seen is good."""
    give_up = time.monotonic() + patience
    while True:
        seen = look()
        if good(seen):
            return seen
        assert time.monotonic() < give_up, f"not seen in {patience:.0f} s; the last was {seen}"
        time.sleep(0.5)
