from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from axonloom.config.segment import WaterzScore
from axonloom.segmentation.waterz_backend import SCORES, waterz_segmentations
from axonloom.segmentation.waterz_block import section_fragments, waterz_block
from tests.segmentation.test_waterz_backend import same_partition


def affinities(shape: tuple[int, int, int], seed: int = 3) -> np.ndarray:
    """Blobs: noise that is smoothed, with values over the whole of 0..255."""
    noise = np.random.default_rng(seed).random((3, *shape))
    for axis in (1, 2, 3) * 2:
        noise = noise + np.roll(noise, 1, axis)
    noise -= noise.min()
    return (noise / noise.max() * 255).astype(np.uint8)


@pytest.mark.parametrize("score", ["mean", "aff75_his256"])
def test_is_waterz(score):
    given = affinities((6, 30, 40))
    kept = given.copy()
    found = waterz_block(given, "0.55", score, "0.3", "0.9")
    given_to_waterz = given.copy()
    for axis in range(3):
        np.moveaxis(given_to_waterz[axis], axis, 0)[0] = 0
    expected = waterz_segmentations(given_to_waterz, ["0.55"], score, "0.3", "0.9")[0]
    assert same_partition(found, expected)
    assert 5 < found.max() < 3000
    np.testing.assert_array_equal(given, kept)


def test_the_first_planes_are_no_edges():
    given = affinities((4, 12, 12))
    other = given.copy()
    for axis in range(3):
        np.moveaxis(other[axis], axis, 0)[0] = 255
    np.testing.assert_array_equal(
        waterz_block(given, "0.5", "mean", "0.3", "0.9"), waterz_block(other, "0.5", "mean", "0.3", "0.9")
    )


def test_per_section_fragments_lie_in_one_section_each():
    given = affinities((5, 20, 20))
    given[0] = 255
    fragments = section_fragments(given, "0.3", "0.9")
    for z in range(5):
        ids = np.unique(fragments[z][fragments[z] > 0])
        assert len(ids) > 3
        assert not np.isin(ids, np.delete(fragments, z, 0)).any()
    # With affinities of 1 between sections, agglomeration joins over z what no watershed has.
    joined = waterz_block(given, "0.9", "mean", "0.3", "0.9", per_section=True)
    assert len(np.intersect1d(joined[0], joined[-1])) > 1
    # And it is another result than the watershed in 3-D.
    assert not same_partition(joined, waterz_block(given, "0.9", "mean", "0.3", "0.9"))


@pytest.mark.parametrize("per_section", [False, True])
def test_a_mask_parts_and_is_background(per_section):
    given = np.full((3, 3, 4, 9), 240, np.uint8)
    mask = np.ones((3, 4, 9), bool)
    mask[:, :, 4] = False
    found = waterz_block(given, "0.5", "mean", "0", "0.9", per_section, mask)
    assert not found[~mask].any()
    assert len(np.unique(found[:, :, :4])) == len(np.unique(found[:, :, 5:])) == 1
    assert found[0, 0, 0] != found[0, 0, 5]
    assert found.min(where=mask, initial=99) > 0


def test_the_settings_name_what_waterz_has():
    assert set(get_args(WaterzScore)) == set(SCORES)
