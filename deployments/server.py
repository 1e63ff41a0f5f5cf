"""A Prefect server for the time of a job.

With ``PREFECT_API_URL`` set (in the environment or in Prefect's profile) that server is used. Otherwise one is started on this
machine, on loopback, with its history in Prefect's own folder, where ``prefect server start`` shows it later. Jobs that run at
the same time share it; the last one to leave stops it, unless ``axonloom up`` asked it to stay.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from prefect import tags
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL, PREFECT_FLOWS_HEARTBEAT_FREQUENCY, PREFECT_HOME, temporary_settings

from axonloom.durable import replacing
from deployments.ports import NoPortError, free_port, listens, reachable
from deployments.server_watch import riding_out
from tasks.job import TAG

#: Seconds that a server may take to come up: a first start makes its database.
PATIENCE = 120.0
#: Ports that a server is started at before it is given up: somebody else may be quicker.
TRIES = 3
#: Seconds between two signs of life of a flow run: the least that Prefect takes.
HEARTBEAT = 30


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
        if not healthy(configured):
            raise ServerError(
                f"no Prefect server answers at {configured} (PREFECT_API_URL): start it, or unset PREFECT_API_URL to let "
                "axonloom start one"
            )
        with _as_ours(HEARTBEAT), riding_out(configured):
            yield configured
        return
    shared = SharedServer()
    url = shared.enter()
    try:
        with (
            _environment(PREFECT_API_URL=url),
            temporary_settings({PREFECT_API_URL: url}),
            _as_ours(HEARTBEAT if shared.stays() else None),
            riding_out(url, shared.revive),
        ):
            try:
                yield url
            finally:
                # What is still queued would otherwise be sent to a server that is gone.
                APILogHandler().flush()
    finally:
        shared.leave()


@contextmanager
def _as_ours(heartbeat: int | None) -> Iterator[None]:
    """Runs that are started from here say often enough that they live, and carry the mark that the automation looks for.

    None, on a server that ends with its jobs, saves up to a second at the end of each flow. A killed run then stays Running
    there, as it does wherever nothing looks for heartbeats; running again resumes it all the same.
    """
    children = {} if heartbeat is None else {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(heartbeat)}
    with (
        _environment(**children),
        temporary_settings(set_defaults={PREFECT_FLOWS_HEARTBEAT_FREQUENCY: heartbeat}),
        tags(TAG),
    ):
        yield


def ui_url(api_url: str) -> str:
    """Where a person looks."""
    return api_url.removesuffix("/api")


#: The user that stays when no job runs: what ``axonloom up`` leaves behind.
STAYING = "up"


@dataclass(frozen=True)
class ServerSettings:
    """How a server that stays is started, also when it has to be started again.

    Attributes
    ----------
    database : connection URL of its database; None for a SQLite file in Prefect's folder
    host : address that it listens on
    port : None for Prefect's usual one, or any other where that is taken
    """

    database: str | None = None
    host: str = "127.0.0.1"
    port: int | None = None


class SharedServer:
    """A server that several processes of this machine use.

    Its folder holds its record, its log, one file a user, and how ``axonloom up`` is to start it, also after ``axonloom down``.
    """

    def __init__(self) -> None:
        self.folder = Path(PREFECT_HOME.value()) / "axonloom-server"
        self.record = self.folder / "server.json"
        self.log = self.folder / "server.log"
        self.users = self.folder / "users"
        self.asked = self.folder / "settings.json"

    def enter(self) -> str:
        """Use the server for the time of this process: the URL of its API, started where none runs."""
        with self._lock():
            self.users.mkdir(parents=True, exist_ok=True)
            (self.users / str(os.getpid())).touch()
            return self._running() or self._start(self._settings() if self.stays() else ServerSettings())

    def revive(self) -> None:
        """Start the server again, at its address, where its process is gone; one that is only slow is left alone."""
        with self._lock():
            if self._process() is None:
                self._start(self._settings_before())

    def leave(self) -> None:
        """Use it no more; the last user stops it."""
        with self._lock():
            (self.users / str(os.getpid())).unlink(missing_ok=True)
            self._stop_if_unused()

    def stay(self, settings: ServerSettings | None = None) -> str:
        """Keep a server running until :meth:`dismiss`. Returns the URL of its API.

        Parameters
        ----------
        settings : how to start one; None takes what was asked for last, also before a :meth:`dismiss`

        Raises
        ------
        ServerError
            A server runs already with other settings, or none could be started.
        """
        with self._lock():
            self.users.mkdir(parents=True, exist_ok=True)
            before = self._settings()
            wanted = before if settings is None else settings
            running = self._running()
            if running is not None and not self._runs_with(wanted):
                raise ServerError(
                    f"a server with other settings runs already at {running}: stop it with `axonloom down`, and wait for the jobs "
                    "that use it"
                )
            # Also when it does not start now: the next time it is started so, and not with another database.
            _write_private(self.asked, asdict(wanted))
            place = self.users / STAYING
            place.touch()
            try:
                return running or self._start(wanted)
            except BaseException:
                place.unlink()
                raise

    def dismiss(self) -> list[int]:
        """Let the server go: it stops now, or with the last job that uses it. Returns the processes of such jobs."""
        with self._lock():
            (self.users / STAYING).unlink(missing_ok=True)
            return self._stop_if_unused()

    def url(self) -> str | None:
        """The API of the server that runs now, if one does."""
        with self._lock():
            return self._running()

    def stays(self) -> bool:
        """Whether the server outlives the jobs that use it."""
        return (self.users / STAYING).exists()

    def _stop_if_unused(self) -> list[int]:
        users = []
        for user in self.users.iterdir() if self.users.is_dir() else ():
            if user.name == STAYING:
                return []
            if psutil.pid_exists(int(user.name)):
                users.append(int(user.name))
            else:
                user.unlink(missing_ok=True)
        if not users:
            self._stop()
        return users

    def _settings(self) -> ServerSettings:
        """How a server that stays is to be started."""
        try:
            return ServerSettings(**json.loads(self.asked.read_text()))
        except FileNotFoundError:
            return ServerSettings()

    def _settings_before(self) -> ServerSettings:
        """How the server that the record speaks of was started."""
        try:
            return ServerSettings(**json.loads(self.record.read_text()).get("settings", {}))
        except FileNotFoundError:
            return self._settings() if self.stays() else ServerSettings()

    def _runs_with(self, wanted: ServerSettings) -> bool:
        found = self._settings_before()
        return found.database == wanted.database and found.host == wanted.host and wanted.port in (None, found.port)

    def _process(self) -> psutil.Process | None:
        """The process of the server that the record speaks of, if it lives."""
        try:
            record = json.loads(self.record.read_text())
            process = psutil.Process(record["pid"])
            started, status = process.create_time(), process.status()
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None
        # A process that was killed stays as a zombie while the job that started it lives; numbers are used again.
        return process if status != psutil.STATUS_ZOMBIE and abs(started - record["started"]) <= 1.0 else None

    def _running(self) -> str | None:
        process = self._process()
        if process is None:
            return None
        record = json.loads(self.record.read_text())
        # A busy machine answers late; a second server on the same database would be worse than waiting.
        give_up = time.monotonic() + PATIENCE
        while not healthy(record["url"]):
            if self._process() is None:
                return None
            if time.monotonic() > give_up:
                # It hangs. Two on one database would be worse than none.
                self._stop()
                return None
            time.sleep(0.5)
        return record["url"]

    def _start(self, settings: ServerSettings) -> str:
        for _ in range(TRIES):
            try:
                port = settings.port or free_port(settings.host, self._port_before())
            except NoPortError as error:
                raise ServerError(str(error)) from None
            url = f"http://{reachable(settings.host)}:{port}/api"
            said = self.log.stat().st_size if self.log.exists() else 0
            process = self._launch(settings, port, url)
            give_up = time.monotonic() + PATIENCE
            try:
                # Another server, also of another person, may have taken the port meanwhile and answer there.
                while not (healthy(url) and listens(process.pid, port)):
                    if process.poll() is not None or time.monotonic() > give_up:
                        break
                    time.sleep(0.2)
                else:
                    return url
            except BaseException:
                self._stop()
                raise
            self._stop()
            if settings.port is not None or process.returncode is None or not self._port_was_taken(said):
                break
        raise ServerError(f"the Prefect server did not start; its log is {self.log}")

    def _port_was_taken(self, said: int) -> bool:
        """Whether the log says so after its first ``said`` bytes; who had the port may have left it since."""
        with self.log.open("rb") as log:
            log.seek(said)
            # The system says "Address already in use", and Prefect, which looks first, "Port 4200 is already in use", in lines of any width.
            return b"already in use" in b" ".join(log.read().lower().split())

    def _launch(self, settings: ServerSettings, port: int, url: str) -> subprocess.Popen[bytes]:
        """Start the process of a server, and write down which it is."""
        environment = {
            **os.environ,
            "PREFECT_API_URL": url,
            # Where the page in the browser looks for the data: by default port 4200, whatever the server's own.
            "PREFECT_SERVER_UI_API_URL": url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        if settings.database is not None:
            environment["PREFECT_API_DATABASE_CONNECTION_URL"] = settings.database
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "deployments.server_process",
                    "server",
                    "start",
                    "--host",
                    settings.host,
                    "--port",
                    str(port),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=environment,
                # Its own session: Ctrl+C stops the job, which then stops the server in order.
                start_new_session=True,
            )
        started = psutil.Process(process.pid).create_time()
        _write_private(self.record, {"pid": process.pid, "started": started, "url": url, "settings": asdict(settings)})
        return process

    def _stop(self) -> None:
        process = self._process()
        if process is None:
            return
        family = [*process.children(recursive=True), process]
        for member in family:
            _terminate(member)
        _, alive = psutil.wait_procs(family, timeout=10)
        for member in alive:
            member.kill()
        self.record.unlink(missing_ok=True)

    def _port_before(self) -> int | None:
        """The port of the last server: a worker or a browser that waits for its return looks there."""
        try:
            return urlsplit(json.loads(self.record.read_text())["url"]).port
        except (FileNotFoundError, ValueError):
            return None

    @contextmanager
    def _lock(self) -> Iterator[None]:
        # Prefect's folder is local to a machine (it holds SQLite), so a file lock is safe here.
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _write_private(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all. A database's URL may hold a password: nobody else reads it."""
    with replacing(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(content))


def _terminate(process: Any) -> None:
    try:
        process.terminate()
    except psutil.NoSuchProcess:
        return


def healthy(api_url: str) -> bool:
    try:
        return httpx.get(f"{api_url}/health", timeout=2.0).status_code == 200
    except httpx.HTTPError:
        return False


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
