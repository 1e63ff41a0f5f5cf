"""Blocks that are segmented alone, as flows and commands."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from axonloom.alone import run_alone
from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from axonloom.geometry import Box
from axonloom.phantom import Phantom
from axonloom.representations.affinity import affinities
from axonloom.stages.layer_stage import current_state
from axonloom.volumes import create_volume, open_volume
from tests.flows.affinity_project import SHAPE, configure, make_project, segmentation

pytestmark = pytest.mark.flow

NEAREST = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
LONG = [*NEAREST, (0, 4, 0), (0, 0, 4), (2, 0, 0)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Affinities of the phantom, as three degraded channels and as six clean ones of long range."""
    folder = make_project(tmp_path_factory.mktemp("project"))
    phantom = Phantom(seed=5, shape=SHAPE)
    box = Box.of_shape(SHAPE)
    given = affinities(phantom.labels(box), LONG).astype(np.uint8) * 250
    given[:3] = np.minimum(given[:3], phantom.degraded_affinities(box))
    made = create_volume(str(folder / "long.zarr"), shape=SHAPE, dtype=np.uint8, channels=6, chunk=(32, 32, 32))
    made.write(box, given)
    return folder


def settings(project, method: str) -> dict[str, object]:
    found: dict[str, object] = {
        "segment": {"method": method, "waterz": {"halo": [4, 12, 12]}, "mutex": {"halo": [4, 12, 12]}}
    }
    if method == "mutex":
        found["volumes"] = {
            "affinities": {"path": str(project / "long.zarr"), "offsets": [[-n for n in o] for o in LONG]},
            "labels": {"path": str(project / "labels.zarr")},
            "segmentation": {"mips": 2},
        }
    return found


@pytest.mark.parametrize("method", ["waterz", "mutex"])
def test_reconstruct_and_the_commands_around_it(prefect_api, project, tmp_path, method):
    from cli.main import app
    from flows.merge import merge
    from flows.reconstruct import reconstruct

    path = configure(project, tmp_path / "work", (64, 64, 64), **settings(project, method))
    config = load_configuration(path)
    planned = CliRunner().invoke(app, ["plan", str(path), "--json"])
    stages = [row["stage"] for row in json.loads(planned.stdout)["stages"]]
    assert stages[:3] == [method, "overlap", "stitch"]
    assert "agglomerate" not in stages

    results = reconstruct(config)
    found = segmentation(tmp_path / "work")
    assert len(np.unique(found)) > 20
    assert 0 < results["voi_split"] < results["fragments_voi_split"]
    assert "best_threshold" not in results

    # As one process makes it, block after block in another order.
    alone = configure(project, tmp_path / "alone", (64, 64, 64), **settings(project, method))
    chain = Chain(load_configuration(alone))
    for plan in chain.stages():
        assert not run_alone(plan, reversed(range(len(plan.grid)))).failed
    assert np.array_equal(open_volume(chain.layer).read(), found)

    status = json.loads(CliRunner().invoke(app, ["status", str(path), "--json"]).stdout)
    assert {stage["state"] for stage in status} == {"done"}
    verified = CliRunner().invoke(app, ["verify", str(path)])
    assert verified.exit_code == 0, verified.output

    # Another minimum repeats the table and the voxels of the layer, and nothing before.
    stricter = load_configuration(path, ["merge.overlap.minimum=1"])
    merge(stricter)
    assert len(current_state(Chain(stricter).overlap).done) == len(chain.overlap.grid)
    again = segmentation(tmp_path / "work").max()
    # Clean long-range affinities give neighbours the very same labels: all their matches are perfect.
    assert again > found.max() if method == "waterz" else again == found.max()


def test_merge_before_segment_names_the_command(prefect_api, project, tmp_path):
    from axonloom.stage import StageError
    from flows.pool import pool

    path = configure(project, tmp_path / "work", (64, 64, 64), **settings(project, "waterz"))
    with pytest.raises(StageError, match="run `axonloom segment` first"):
        pool(load_configuration(path))


def test_a_change_of_method_is_told_by_status(project, tmp_path):
    from axonloom.stage_status import stage_status

    path = configure(project, tmp_path / "work", (64, 64, 64), **settings(project, "waterz"))
    chain = Chain(load_configuration(path))
    assert not run_alone(chain.fragment, [0]).failed
    other = Chain(load_configuration(path, ["segment.waterz.threshold=0.7", "segment.low=0.1"]))
    stale = stage_status(other.fragment).stale
    assert stale is not None
    assert set(stale.differs) == {"segment.waterz.threshold was 0.5, is 0.7", "segment.low was 0.05, is 0.1"}
    assert yaml.safe_load(path.read_text())["segment"]["method"] == "waterz"
