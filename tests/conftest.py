"""What every test may ask for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis

# Before all that logs: Prefect sets logging up when it is imported, and closes what others log to. Imported after absl (which Google's
# connectomics brings), in the middle of a collection, it would close the stream that pytest captures.
import prefect.main  # noqa: F401
import pytest

from tests.slurm_cluster import SlurmCluster, SlurmUnavailableError
from tests.station import Station

# A shell that runs the tests in the background has SIGINT ignored, and so would every worker that they start: Prefect stops one
# with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples each time, so that a failure is everyone's; AXONLOOM_EXAMPLES=random looks for new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.register_profile("random", derandomize=False)
hypothesis.settings.load_profile(os.environ.get("AXONLOOM_EXAMPLES", "repeatable"))

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real images and the outputs of peers; the tests that need them skip where they are not."""
    folder = Path(os.environ.get("AXONLOOM_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("no shared data: set AXONLOOM_SHARED to the folder that holds data/ and oracle/")
    return folder


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory):
    """URL of the API of a server of this test session, with a history of its own."""
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    home = tmp_path_factory.mktemp("prefect")
    os.environ.pop("PREFECT_API_URL", None)
    os.environ["PREFECT_HOME"] = str(home)
    with temporary_settings({PREFECT_HOME: home}, restore_defaults={PREFECT_API_URL}):
        from deployments.server import prefect_server

        with prefect_server() as url:
            yield url


@pytest.fixture(scope="session")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    """A machine on which ``axonloom up`` was called (tests/station.py)."""
    folder = tmp_path_factory.mktemp("station")
    found = Station(folder / "home", folder / "runs")
    try:
        found.up()
        yield found
    finally:
        found.down()
        for process in found.processes():
            process.kill()


@pytest.fixture(scope="session")
def slurm() -> Iterator[SlurmCluster]:
    """A real SLURM of four nodes for this session (tests/slurm_cluster.py); ``SLURM_CONF`` leads to it meanwhile."""
    cluster = SlurmCluster()
    try:
        cluster.start()
    except SlurmUnavailableError as reason:
        pytest.skip(str(reason))
    before = os.environ.get("SLURM_CONF")
    os.environ.update(cluster.environment)
    try:
        yield cluster
    finally:
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before
        cluster.stop()


@pytest.fixture
def empty_slurm(slurm: SlurmCluster) -> Iterator[SlurmCluster]:
    """The session's SLURM with nothing in its queue, before and after the test."""
    slurm.cancel_all()
    yield slurm
    slurm.cancel_all()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many blocks each fault trial computed again: what docs/operating.md records.

    Here and not with the trials: of several processes, the one that sums up reads only this file.
    """
    for report in terminalreporter.stats.get("passed", []):
        found = [line for line in report.capstderr.splitlines() if line.startswith("recomputed: ")]
        if found and report.when == "call":
            terminalreporter.write_line(f"{report.nodeid}: {', '.join(found)}")
