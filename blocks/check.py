"""Would batches run where the configuration says? A tiny job on each profile finds out, and leaves nothing behind."""

from __future__ import annotations

import json
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import axonloom
from axonloom.bad_input import BadInputError
from axonloom.config.compute import ComputeSettings, JobProfile, NetworkSettings
from blocks import slurm
from blocks.probe import TOKEN
from blocks.slurm_answers import SlurmError

#: Seconds that a shared file system may take to show what a node wrote.
SHOWING = 10.0


class CheckError(BadInputError):
    """The check itself cannot begin: the sentence says why."""


@dataclass(frozen=True)
class ProfileReport:
    """What was found about one profile.

    Attributes
    ----------
    profile : cpu or gpu for SLURM jobs, else ``local`` or ``dask``
    problem : one sentence, or None when batches would run
    seconds_to_start : from the submission until the job ran; None when it did not
    node, python, version, gpu : of the machine where it ran; None where unknown
    log : the end of the job's output, when there is a problem
    """

    profile: str
    problem: str | None
    seconds_to_start: float | None = None
    node: str | None = None
    python: str | None = None
    version: str | None = None
    gpu: str | None = None
    log: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.problem is None}


def check(
    settings: ComputeSettings, workspace: Path, limit: float, api: str | None, modules: Sequence[str] = ()
) -> list[ProfileReport]:
    """A report for each profile that the settings would use.

    Parameters
    ----------
    limit : seconds within which a job must start
    api : URL of the Prefect server that the workers report to, or None where there is none yet
    modules : names of what the workers will import

    Raises
    ------
    CheckError
        The workspace cannot be written, or this machine has no address as configured.
    """
    with _folder(workspace) as folder:
        if settings.on != "slurm":
            return [_check_here(settings.on, folder, _probe(folder, settings.on, modules, api))]
        profiles = {"cpu": settings.profiles.cpu, "gpu": settings.profiles.gpu}
        with _listening(settings.network) as address:
            return [
                _check_job(
                    name,
                    profile,
                    folder,
                    limit,
                    _probe(folder, name, modules, api, gpu=profile.has_gpu, flow=address),
                )
                for name, profile in profiles.items()
                if profile is not None
            ]


def _check_here(name: str, folder: Path, probe: list[str]) -> ProfileReport:
    """Threads and local processes are this machine's: a process like theirs answers."""
    begin = time.monotonic()
    command = [sys.executable, *probe]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return _report(name, folder, None, round(time.monotonic() - begin, 1), (done.stdout + done.stderr)[-2000:])


def _check_job(name: str, profile: JobProfile, folder: Path, limit: float, probe: list[str]) -> ProfileReport:
    command = [sys.executable, *probe]
    short = profile.model_copy(update={"time": str(min(10, max(1, profile.seconds // 60)))})
    log = folder / f"{name}.log"
    begin = time.monotonic()
    try:
        options = slurm.options_of(short, f"axonloom-check-{name}", Path(str(log).replace("%", "%%")))
        job = slurm.submit(options, slurm.script_of(profile, command, {}))
    except SlurmError as error:
        return ProfileReport(name, str(error))
    try:
        started, problem = _follow(job, begin, limit)
    finally:
        slurm.cancel([job])
    if started is not None:
        started = round(started, 1)
    if problem is not None:
        return ProfileReport(name, problem, started, log=slurm.end_of(log))
    answer = folder / f"{name}.json"
    # Where its output is to be seen, the rest is not far.
    give_up = time.monotonic() + (SHOWING if not log.exists() else SHOWING / 5)
    while not answer.exists() and time.monotonic() < give_up:
        list(folder.iterdir())  # a network file system shows new files when the folder is read
        time.sleep(0.2)
    return _report(name, folder, profile, started, slurm.end_of(log))


def _follow(job: str, begin: float, limit: float) -> tuple[float | None, str | None]:
    """Wait until a job has ended: seconds until it ran, and what went wrong."""
    started: float | None = None
    state = reason = "unknown"
    while True:
        queue = slurm.queue()
        waited = time.monotonic() - begin
        if queue is not None:
            queued = queue.get(job)
            if queued is None:
                return started if started is not None else waited, None
            state, reason = queued.state, queued.reason
            if state not in ("PENDING", "CONFIGURING") and started is None:
                started = waited
            elif state == "PENDING" and reason in slurm.HOPELESS:
                return None, f"SLURM will never start the job: {reason}"
        if started is None and waited > limit:
            return None, f"the job did not start within {limit:.0f} s ({state}: {reason})"
        if started is not None and waited - started > limit:
            return started, f"the job started, but did not end within {limit:.0f} s"
        time.sleep(0.5)


def _report(name: str, folder: Path, profile: JobProfile | None, started: float | None, log: str) -> ProfileReport:
    try:
        found = json.loads((folder / f"{name}.json").read_text())
    except FileNotFoundError:
        unseen = "" if log else f", and without a word: does its node see {folder.parent}?"
        return ProfileReport(name, f"the job ended without an answer{unseen}", started, log=log)
    problem = _problem(found, folder, profile)
    return ProfileReport(
        name,
        problem,
        started,
        found["node"],
        found["python"],
        found.get("version"),
        found.get("gpu"),
        log if problem else "",
    )


def _problem(found: dict[str, Any], folder: Path, profile: JobProfile | None) -> str | None:
    node = found["node"]
    if found["token"] != (folder / TOKEN).read_text():
        return f"{node} sees another folder as {folder.parent} than this machine does"
    if "import_error" in found:
        return (
            f"{found['executable']} on {node} cannot import axonloom and what it needs ({found['import_error']}): look at "
            "python and setup"
        )
    if found["version"] != axonloom.__version__:
        return f"{node} has axonloom {found['version']}, this machine {axonloom.__version__}: install the same on both"
    if found["python"].split(".")[:2] != platform.python_version().split(".")[:2]:
        return (
            f"{node} has Python {found['python']}, this machine {platform.python_version()}: work cannot be handed over"
        )
    if profile is not None and profile.has_gpu and not found.get("gpu"):
        return f"the job on {node} has gres {profile.gres}, but {found['gpu_error']}"
    if found.get("flow_error"):
        return f"{node} does not reach this machine ({found['flow_error']}): set compute.network.interface or .host"
    if found.get("api_error"):
        return (
            f"{node} does not reach the Prefect server ({found['api_error']}): start it on an address that the nodes reach, "
            "and set PREFECT_API_URL to that"
        )
    return None


def _probe(
    folder: Path, name: str, modules: Sequence[str], api: str | None, *, gpu: bool = False, flow: str | None = None
) -> list[str]:
    words = ["-m", "blocks.probe", str(folder), name, *(word for module in modules for word in ("--import", module))]
    words += ["--gpu"] if gpu else []
    words += ["--flow", flow] if flow else []
    return words + (["--api", api] if api else [])


@contextmanager
def _folder(workspace: Path) -> Iterator[Path]:
    """A folder of the workspace with a token in it, gone afterwards; so is a workspace that was not there before."""
    made = [folder for folder in (workspace, *workspace.parents) if not folder.exists()]
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="compute-check-", dir=workspace.absolute()))
    except OSError as error:
        raise CheckError(f"workspace: {workspace} cannot be written ({error.strerror}); name another folder") from None
    try:
        (folder / TOKEN).write_text(uuid.uuid4().hex)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for empty in made:
            if not any(empty.iterdir()):
                empty.rmdir()


@contextmanager
def _listening(network: NetworkSettings) -> Iterator[str]:
    """An open port of this machine, where a flow's scheduler would be."""
    from distributed.utils import get_ip, get_ip_interface

    try:
        host = get_ip_interface(network.interface) if network.interface else network.host or get_ip()
        server = socket.create_server((host, 0))
    except (ValueError, OSError) as error:
        given = f"interface: {network.interface}" if network.interface else f"host: {network.host}"
        raise CheckError(f"compute.network.{given} is none of this machine's: {error}") from None
    with server:
        yield f"{host}:{server.getsockname()[1]}"
