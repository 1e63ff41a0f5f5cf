"""Thresholds that no affinity reaches are refused before anything is made."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from axonloom.chain import Chain
from axonloom.config.load import ConfigurationError, load_configuration
from axonloom.reached_thresholds import _from_all_over, require_reached_thresholds
from axonloom.volumes import create_volume


def chain_with(folder, highest: int, **settings: object) -> Chain:
    """Affinities of 20, but for one voxel."""
    values = np.full((3, 20, 20, 20), 20, np.uint8)
    values[1, 17, 3, 9] = highest
    volume = create_volume(str(folder / "given.zarr"), shape=(20, 20, 20), dtype=np.uint8, channels=3, chunk=(8, 8, 8))
    volume.write(volume.box, values)
    content = {"workspace": "work", "volumes": {"affinities": {"path": "given.zarr"}}, "blocks": {"shape": [8, 8, 8]}}
    (folder / "axonloom.yaml").write_text(yaml.safe_dump({**content, **settings}))
    return Chain(load_configuration(folder / "axonloom.yaml"))


@pytest.mark.parametrize(
    ("settings", "key", "what"),
    [
        ({"merge": {"threshold": "0.5"}}, "merge.threshold is 0.5", "nothing would be merged"),
        ({"segment": {"low": "0.6"}}, "segment.low is 0.6", "everything would be background"),
    ],
)
def test_what_is_not_reached_is_refused_by_name(tmp_path, settings, key, what):
    chain = chain_with(tmp_path, 127, **settings)
    with pytest.raises(ConfigurationError, match=f"{key}, but the highest affinity in .*given.zarr is 0.498: {what}"):
        require_reached_thresholds(chain)
    assert not chain.workspace.exists()


def test_one_voxel_that_reaches_them_is_enough(tmp_path):
    require_reached_thresholds(chain_with(tmp_path, 128, merge={"threshold": "0.5"}))


def test_other_ways_to_merge_have_no_threshold_to_reach(tmp_path):
    require_reached_thresholds(chain_with(tmp_path, 20, merge={"method": "multicut", "threshold": "0.9"}))


def test_a_threshold_is_looked_at_until_its_own_stage_has_begun(tmp_path):
    chain = chain_with(tmp_path, 127, segment={"low": "0.6"}, merge={"threshold": "0.5"})
    # Fragments are there, and then somebody asks for another threshold.
    chain.fragment.folder.mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"merge\.threshold is 0\.5"):
        require_reached_thresholds(chain)
    chain.pool.folder.mkdir(parents=True)
    require_reached_thresholds(chain)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 100])
def test_every_block_is_looked_at_once(n):
    order = list(_from_all_over(n))
    assert sorted(order) == list(range(n))
    assert order[0] == n // 2
