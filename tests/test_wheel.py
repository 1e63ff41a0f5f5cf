"""The wheel: what it carries, and that it runs where nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = {"axonloom", "flows", "tasks", "blocks", "deployments", "cli"}

FLOW = """
import sys
from pathlib import Path

import numpy as np

from axonloom.config.load import load_configuration
from axonloom.volumes import create_volume, open_volume
from deployments.server import prefect_server
from flows.reconstruct import reconstruct

assert "site-packages" in sys.modules["flows.reconstruct"].__file__
folder = Path(sys.argv[1])
shape = (16, 20, 24)
affinities = create_volume(str(folder / "affinities.zarr"), shape=shape, dtype=np.uint8, channels=3, chunk=(16, 16, 16))
values = np.full((3, *shape), 255, np.uint8)
values[2, :, :, 12] = 0
affinities.write(affinities.box, values)
(folder / "axonloom.yaml").write_text("workspace: work\\nvolumes: {affinities: {path: affinities.zarr}}\\n"
                                      "blocks: {shape: [16, 16, 16]}\\nsegment: {smoothing: 0}\\n")
with prefect_server():
    reconstruct(load_configuration(folder / "axonloom.yaml"))
found = open_volume(f"precomputed://{folder}/work/segmentation").read()
assert (found[:, :, :12] == 1).all() and (found[:, :, 12:] == 2).all(), np.unique(found)
print("two halves")
"""


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            folder,
            repository,
        ],
        check=True,
    )
    (found,) = folder.glob("axonloom-*.whl")
    return found


def test_the_wheel_carries_the_house_and_no_tests(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == PACKAGES
    assert "deployments/prefect.yaml" in names
    assert "axonloom/report/page.html" in names
    assert not [name for name in names if "/tests/" in name or name.startswith(("tests/", "benchmarks/"))]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_installed_into_an_empty_environment_it_runs_a_flow(wheel, repository, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--constraint", repository / "constraints.txt", wheel], check=True
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PREFECT_API_URL")}
    environment["PREFECT_HOME"] = str(tmp_path / "prefect")
    done = subprocess.run(
        [python, "-c", FLOW, tmp_path], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("two halves\n")
    info = subprocess.run(
        [python, "-m", "axonloom", "info", str(tmp_path / "affinities.zarr")], cwd=tmp_path, env=environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "uint8" in info.stdout
