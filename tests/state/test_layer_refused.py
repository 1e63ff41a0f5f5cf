"""A layer that may not be written is refused before anything is computed, and leaves no trace in the workspace."""

from __future__ import annotations

from tests.flows.affinity_project import configure
from tests.state.command import axonloom


def test_what_is_not_ours_is_refused_before_anything_runs(project, tmp_path):
    config = configure(project, tmp_path / "work", (32, 32, 32))
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "notes.txt").write_text("mine")
    refused = {
        f"precomputed://{theirs}": "exists and was not made by axonloom",
        f"{tmp_path}/out.zarr": "a segmentation is written as precomputed://FOLDER",
        f"precomputed://{tmp_path}/work/segments": "there the workspace keeps what a stage makes",
        "precomputed://{workspace}/pyramid/mine": "there the workspace keeps what a stage makes",
    }
    for path, sentence in refused.items():
        found = axonloom("run", config, "--set", f"volumes.segmentation.path={path}")
        assert found.returncode == 2
        assert sentence in found.stderr.replace("\n", " ")
        assert not (tmp_path / "work" / "fragment").exists()
    assert axonloom("status", config, "--set", "merge.threshold=0.3").returncode == 0
