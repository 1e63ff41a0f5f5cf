"""The costs against the size."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.scaling import exponent


def test_the_exponent_of_a_power_is_the_power():
    voxels = [1e6, 2e6, 8e6]
    assert exponent(voxels, [3 * v for v in voxels]) == pytest.approx(1)
    assert exponent(voxels, [v**0.5 for v in voxels]) == pytest.approx(0.5)
    assert exponent(voxels, [7.0] * 3) == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
def test_two_sizes_are_measured_and_drawn(tmp_path):
    picture = tmp_path / "scaling.png"
    command = ["--sizes", "32x64x64", "64x128x128", "--block", "32", "--json", "--plot", str(picture)]
    done = subprocess.run([sys.executable, "-m", "benchmarks.scaling", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    small, large = found["sizes"]
    assert large["voxels"] == 8 * small["voxels"]
    # Eight times the voxels surely take longer to watershed than the first.
    assert large["stages"]["fragment"]["cpu_s"] > small["stages"]["fragment"]["cpu_s"] > 0
    assert found["exponents"]["cpu_s"] > 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_one_size_has_no_exponent():
    command = [sys.executable, "-m", "benchmarks.scaling", "--sizes", "32x32x32"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "two sizes" in done.stderr
