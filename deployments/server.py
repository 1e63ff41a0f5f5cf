"""A Prefect server for the time of a job.

With ``PREFECT_API_URL`` set (in the environment or in Prefect's profile) that server is used. Otherwise one is started on this
machine, on loopback, with its history in Prefect's own folder, where ``prefect server start`` shows it later. Jobs that run at
the same time share it; the last one to leave stops it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

#: Seconds that a server may take to come up: a first start makes its database.
PATIENCE = 120.0


class ServerError(RuntimeError):
    """No Prefect server answers, and none could be started."""


@contextmanager
def prefect_server() -> Iterator[str]:
    """The URL of a healthy API, set for everything that runs inside the ``with`` block.

    Raises
    ------
    ServerError
        The configured server does not answer, or none could be started (its log is named).
    """
    configured = PREFECT_API_URL.value()
    if configured:
        if not _healthy(configured):
            raise ServerError(
                f"no Prefect server answers at {configured} (PREFECT_API_URL): start it, or unset PREFECT_API_URL to let "
                "axonloom start one"
            )
        yield configured
        return
    shared = _SharedServer(Path(PREFECT_HOME.value()) / "axonloom-server")
    url = shared.enter()
    try:
        with _environment(PREFECT_API_URL=url), temporary_settings({PREFECT_API_URL: url}):
            try:
                yield url
            finally:
                # What is still queued would otherwise be sent to a server that is gone.
                APILogHandler().flush()
    finally:
        shared.leave()


def ui_url(api_url: str) -> str:
    """Where a person looks."""
    return api_url.removesuffix("/api")


class _SharedServer:
    """A server that several processes of this machine use; ``folder`` holds its record, its log and one file a user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "server.json"
        self.users = folder / "users"

    def enter(self) -> str:
        with self._lock():
            self.users.mkdir(parents=True, exist_ok=True)
            (self.users / str(os.getpid())).touch()
            running = self._running()
            if running is not None:
                return running
            return self._start()

    def leave(self) -> None:
        with self._lock():
            (self.users / str(os.getpid())).unlink(missing_ok=True)
            for user in self.users.iterdir():
                if psutil.pid_exists(int(user.name)):
                    return
                user.unlink(missing_ok=True)
            self._stop()

    def _running(self) -> str | None:
        try:
            record = json.loads(self.record.read_text())
            process = psutil.Process(record["pid"])
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        if abs(process.create_time() - record["started"]) > 1.0:
            return None
        # A busy machine answers late; a second server on the same database would be worse than waiting.
        give_up = time.monotonic() + PATIENCE
        while not _healthy(record["url"]):
            if not process.is_running() or time.monotonic() > give_up:
                return None
            time.sleep(0.5)
        return record["url"]

    def _start(self) -> str:
        port = _free_port()
        url = f"http://127.0.0.1:{port}/api"
        log = self.folder / "server.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={
                    **os.environ,
                    "PREFECT_API_URL": url,
                    # Where the page in the browser looks for the data: by default port 4200, whatever the server's own.
                    "PREFECT_SERVER_UI_API_URL": url,
                    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
                    "DO_NOT_TRACK": "1",
                },
                # Its own session: Ctrl+C stops the job, which then stops the server in order.
                start_new_session=True,
            )
        started = psutil.Process(process.pid).create_time()
        self.record.write_text(json.dumps({"pid": process.pid, "started": started, "url": url}))
        give_up = time.monotonic() + PATIENCE
        try:
            while not _healthy(url):
                if process.poll() is not None or time.monotonic() > give_up:
                    raise ServerError(f"the Prefect server did not start; its log is {log}")
                time.sleep(0.2)
        except BaseException:
            self._stop()
            raise
        return url

    def _stop(self) -> None:
        try:
            record = json.loads(self.record.read_text())
            process = psutil.Process(record["pid"])
            if abs(process.create_time() - record["started"]) > 1.0:
                return  # another process has that number now
            family = [*process.children(recursive=True), process]
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return
        for member in family:
            _terminate(member)
        _, alive = psutil.wait_procs(family, timeout=10)
        for member in alive:
            member.kill()
        self.record.unlink(missing_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        # Prefect's folder is local to a machine (it holds SQLite), so a file lock is safe here.
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _terminate(process: Any) -> None:
    try:
        process.terminate()
    except psutil.NoSuchProcess:
        return


def _healthy(api_url: str) -> bool:
    try:
        return httpx.get(f"{api_url}/health", timeout=2.0).status_code == 200
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    """Prefect's usual port, so that its address can be remembered; any other where that is taken."""
    for port in (4200, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerError("no port of 127.0.0.1 is free for a Prefect server")


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
