"""A Prefect server that belongs to a trial: it can be killed, stopped, and brought back at the same address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import httpx
import psutil


class OwnServer:
    """A server with a database of its own in ``folder``, as a context manager."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def start(self) -> None:
        """Start, or start again with the same database, and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "deployments.server_process",
                    "server",
                    "start",
                    "--host",
                    "127.0.0.1",
                    "--port",
                    str(self.port),
                ],
                env={
                    **os.environ,
                    "PREFECT_HOME": str(self.folder),
                    "PREFECT_API_URL": self.url,
                    "PREFECT_SERVER_UI_API_URL": self.url,
                    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                    "DO_NOT_TRACK": "1",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        give_up = time.monotonic() + 120
        while not self.answers():
            assert self._process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < give_up, "the server did not start"
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2.0).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        """kill -9."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGSTOP: the port takes connections, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def carry_on(self) -> None:
        self._signal(signal.SIGCONT)

    def __enter__(self) -> OwnServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        leader = psutil.Process(self._process.pid)
        for member in [*leader.children(recursive=True), leader]:
            member.send_signal(number)
