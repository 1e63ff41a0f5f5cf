"""``axonloom up`` on PostgreSQL, which several workers want."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.station import Station

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def program(name: str) -> str:
    """Debian keeps the programs of each version in a folder of its own."""
    places = os.pathsep.join([os.environ.get("PATH", ""), *map(str, Path("/usr/lib/postgresql").glob("*/bin"))])
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(f"no {name} on this machine: apt-get install postgresql")
    return found


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of a database of its own."""
    initdb, pg_ctl = program("initdb"), program("pg_ctl")
    # Not below pytest's own folder, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="axonloom-postgres-"))
    data = folder / "data"
    owner = None
    if os.getuid() == 0:
        # PostgreSQL refuses to run as root.
        owner = "postgres" if subprocess.run(["id", "postgres"], capture_output=True).returncode == 0 else "nobody"
        shutil.chown(folder, owner)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    password = folder / "password"
    password.write_text("secret")
    password.chmod(0o644)

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, user=owner, cwd=folder)

    run(initdb, "-D", str(data), "-U", "lab", "-A", "scram-sha-256", "--pwfile", str(password))
    run(pg_ctl, "-D", str(data), "-w", "-l", str(folder / "log"), "-o", f"-p {port} -k {folder} -h 127.0.0.1", "start")
    try:
        yield f"postgresql+asyncpg://lab:secret@127.0.0.1:{port}/postgres"
    finally:
        run(pg_ctl, "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder)


def test_up_uses_it_and_remembers_it(database, tmp_path):
    station = Station(tmp_path / "home", tmp_path / "runs")
    try:
        station.up("--database", database)
        assert station.deployment("reconstruct/local")["work_pool_name"] == "local"
        assert not list(station.home.glob("*.db"))
        # Another database needs another server; the same one needs no word.
        refused = station.axonloom("up", "--database", "postgresql+asyncpg://lab@127.0.0.1/other")
        assert refused.returncode == 3
        assert "runs already" in refused.stderr
        station.up()
        for command in (process.cmdline() for process in station.processes()):
            assert not any("secret" in word for word in command)
        for record in (station.home / "axonloom-server").rglob("*"):
            if record.is_file() and "secret" in record.read_text():
                assert record.stat().st_mode & 0o077 == 0, record
    finally:
        station.down()
    assert not station.processes()
