"""The demo on a file of one's own: what it prints is what its configurations score."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from axonloom.geometry import Box
from axonloom.phantom import Phantom
from axonloom.volumes import create_volume

pytestmark = pytest.mark.slow

SHAPE = (66, 48, 48)


@pytest.fixture
def file(tmp_path) -> Path:
    """Image and labels in the CREMI layout."""
    phantom = Phantom(seed=9, shape=SHAPE)
    image, labels = phantom.both(Box.of_shape(SHAPE))
    for name, array in (("volumes/raw", image), ("volumes/labels/neuron_ids", labels.astype(np.uint64))):
        volume = create_volume(
            f"{tmp_path}/tissue.h5:{name}", shape=SHAPE, dtype=array.dtype, voxel_size=phantom.voxel_size
        )
        volume.write(volume.box, array)
        volume.close()
    return tmp_path / "tissue.h5"


def axonloom(*words: object, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "axonloom", *map(str, words)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_table_holds_the_scores_of_each_configuration(prefect_api, file, tmp_path):
    # So few iterations leave the network unsure: at the demo's own threshold all would be one segment.
    given = ("--set", "train.patch=[32, 32, 32]", "--set", "merge.threshold=0.5")
    shown = axonloom("demo", "--data", file, "--iterations", 25, *given, folder=tmp_path)
    rows = {
        cells[0].strip(): [float(number) for number in cells[1:5]]
        for cells in (re.split("[│┃]", line.strip("│┃ ")) for line in shown.splitlines() if "│" in line)
    }

    def scores(name: str, of: str = "") -> list[float]:
        found = json.loads(axonloom("evaluate", f"demo-tissue/{name}.yaml", "--json", *given, folder=tmp_path))
        split, merge, error = (found[f"{of}{key}"] for key in ("voi_split", "voi_merge", "adapted_rand_error"))
        return [round(x, 3) for x in (split, merge, split + merge, error)]

    assert rows == {
        "segmentation": scores("reconstruct"),
        "fragments, nothing merged": scores("reconstruct", "fragments_"),
        "untrained network": scores("untrained"),
    }
    assert rows["segmentation"][0] < rows["fragments, nothing merged"][0], "merging undoes splits"
