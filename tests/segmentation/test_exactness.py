"""The promise: the same graph, dendrogram and segmentation for every blocking, and those of the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.assembly.thresholds import threshold_fraction, threshold_to_uint8
from axonloom.geometry import Box
from axonloom.segmentation.agglomeration import agglomerate
from axonloom.segmentation.fragments import block_fragments
from tests.segmentation import oracles
from tests.segmentation.blocked import assert_same_graph, segment

SMOOTHINGS = [None, "0.5", "1.0", ("0", "0.7", "0.4")]


@st.composite
def volumes(draw, largest: int = 7):
    """Small affinities full of ties (few values, constant ones too), with thresholds and perhaps a mask."""
    shape = tuple(draw(st.integers(1, largest)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = draw(st.sampled_from([[200], [0], [0, 128, 255], [60, 61], list(range(256)), [0, 0, 0, 255]]))
    affinities = rng.choice(np.array(values, np.uint8), (3, *shape))
    low = draw(st.sampled_from([0, 1, 61, 128, 256]))
    high = draw(st.integers(low, 256))
    mask = rng.random(shape) < 0.8 if draw(st.booleans()) else None
    return affinities, low, high, mask


blocks = st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7))


@settings(max_examples=120, deadline=None)
@given(volumes(), blocks, st.sampled_from(SMOOTHINGS), st.integers(0, 99), st.sampled_from([0, 2, 3, 7, 30]))
def test_any_blocking_gives_the_definition(volume, block, smoothing, seed, absorbing):
    affinities, low, high, mask = volume
    result = segment(affinities, block, low, high, mask, smoothing, seed, absorbing)

    labels = oracles.fragments(affinities, low, high, mask, smoothing)
    labels = oracles.absorbed(labels, affinities, absorbing, low, mask)
    np.testing.assert_array_equal(result.fragments, labels)
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    np.testing.assert_array_equal(result.graph.fragments.ids, ids)
    np.testing.assert_array_equal(result.graph.fragments.voxels, counts)

    graph = oracles.region_graph(labels, affinities)
    edges = result.graph.edges
    rows = list(zip(*(getattr(edges, n).tolist() for n in ("a", "b", "sum", "count", "key")), strict=True))
    assert rows == [(*pair, *graph[pair]) for pair in sorted(graph)]
    strongest = oracles.strongest(labels, affinities)
    assert edges.best.tolist() == [strongest[pair] for pair in sorted(graph)]

    merges = oracles.agglomeration(graph, threshold_fraction("0.1"))
    dendrogram = agglomerate(edges, "0.1")
    rows = list(zip(*(getattr(dendrogram, n).tolist() for n in ("a", "b", "sum", "count", "key")), strict=True))
    assert rows == merges
    for threshold in ("0.1", "0.45", "0.9"):
        wanted = oracles.segments(labels, merges, threshold_fraction(threshold))
        np.testing.assert_array_equal(result.segmentation("0.1", threshold), wanted)


@settings(max_examples=40, deadline=None)
@given(volumes(16), blocks, blocks, st.sampled_from(SMOOTHINGS), st.integers(0, 99), st.sampled_from([0, 2, 5, 20]))
def test_two_blockings_agree(volume, one, other, smoothing, seed, absorbing):
    affinities, low, high, mask = volume
    a = segment(affinities, one, low, high, mask, smoothing, seed, absorbing)
    b = segment(affinities, other, low, high, mask, smoothing, seed + 1, absorbing)
    assert_same_graph(a.graph, b.graph)
    np.testing.assert_array_equal(a.segmentation("0.2", "0.5"), b.segmentation("0.2", "0.5"))


def test_last_block_of_one_voxel():
    affinities = np.random.default_rng(3).integers(0, 256, (3, 9, 17, 13), dtype=np.uint8)
    whole = segment(affinities, affinities.shape[1:], 40, 250)
    assert len(whole.graph.edges) > 100
    for block in ((8, 16, 12), (4, 8, 6), (1, 1, 13), (9, 1, 1)):
        assert_same_graph(whole.graph, segment(affinities, block, 40, 250).graph)


@pytest.mark.parametrize(("smoothing", "absorbing"), [(None, 50), (None, 0), ("1.0", 50)])
def test_real_prediction(fly_affinities, smoothing, absorbing):
    low, high = threshold_to_uint8("0.05"), threshold_to_uint8("0.99")
    whole = segment(fly_affinities, fly_affinities.shape[1:], low, high, smoothing=smoothing, absorbing=absorbing)
    dendrogram = agglomerate(whole.graph.edges, "0.1")
    assert 50 < len(dendrogram) < len(whole.graph.fragments)
    wanted = {t: whole.segmentation("0.1", t) for t in ("0.2", "0.8")}
    assert 1 < wanted["0.2"].max() < wanted["0.8"].max()
    for size in (32, 50, 64):
        blocked = segment(fly_affinities, (size, size, size), low, high, None, smoothing, size, absorbing)
        assert_same_graph(whole.graph, blocked.graph)
        again = agglomerate(blocked.graph.edges, "0.1")
        for name in ("a", "b", "sum", "count", "key"):
            np.testing.assert_array_equal(getattr(dendrogram, name), getattr(again, name))
        for threshold, segmentation in wanted.items():
            np.testing.assert_array_equal(segmentation, blocked.segmentation("0.1", threshold))


def test_first_planes_are_never_read():
    rng = np.random.default_rng(1)
    affinities = rng.integers(0, 256, (3, 6, 7, 8), dtype=np.uint8)
    other = affinities.copy()
    for c in range(3):
        plane = tuple(0 if k == c else slice(None) for k in range(3))
        other[c][plane] = rng.integers(0, 256, other[c][plane].shape)
    for smoothing in (None, "1.0"):
        one = segment(affinities, (3, 4, 5), 50, 250, smoothing=smoothing)
        two = segment(other, (3, 4, 5), 50, 250, smoothing=smoothing)
        np.testing.assert_array_equal(one.provisional, two.provisional)
        assert_same_graph(one.graph, two.graph)


def test_region_inside_a_volume_is_segmented_as_if_alone():
    """Only the numbers of voxels and edges come from the volume."""
    affinities = np.random.default_rng(5).integers(0, 256, (3, 9, 10, 11), dtype=np.uint8)
    region = Box(start=(2, 3, 1), end=(8, 9, 10))
    alone = block_fragments(
        affinities[(slice(None), *region.slices)].copy(), Box.of_shape(region.shape), Box.of_shape(region.shape),
        region.shape, 60, 250, smoothing="0.5",
    )  # fmt: skip
    inside = block_fragments(
        affinities[(slice(None), *region.slices)], region, region, (9, 10, 11), 60, 250, smoothing="0.5", region=region
    )
    linear = np.zeros(region.voxels + 1, np.uint64)
    linear[1:] = 1 + np.arange(990).reshape(9, 10, 11)[region.slices].ravel()
    np.testing.assert_array_equal(inside.labels(), linear[alone.labels()])
    np.testing.assert_array_equal(inside.edges.a, linear[alone.edges.a])
    np.testing.assert_array_equal(inside.edges.sum, alone.edges.sum)
    voxel = alone.edges.key // np.uint64(3) + np.uint64(1)
    np.testing.assert_array_equal(inside.edges.key, (linear[voxel] - np.uint64(1)) * np.uint64(3) + alone.edges.key % 3)
    assert inside.faces.low == inside.faces.high == (None, None, None)


def test_ids_past_32_bits():
    """A block far out in a volume of 2**40 voxels."""
    shape = (2**14, 2**13, 2**13)
    core = Box(start=(2**14 - 8, 2**13 - 8, 2**13 - 8), size=(8, 8, 8))
    affinities = np.random.default_rng(7).integers(0, 256, (3, 9, 9, 9), dtype=np.uint8)
    block = block_fragments(affinities, core.grown((1, 1, 1), (0, 0, 0)), core, shape, 60, 250)
    places = np.argwhere(block.labels() > 0)
    linear = ((places[:, 0] + core.origin[0]) * shape[1] + places[:, 1] + core.origin[1]) * shape[2]
    linear += places[:, 2] + core.origin[2]
    labels = block.labels()[block.labels() > 0]
    ids, first = np.unique(labels, return_index=True)
    np.testing.assert_array_equal(ids, linear[first].astype(np.uint64) + np.uint64(1))
    assert int(ids.min()) > 2**39
    assert int(block.edges.key.min()) > 3 * 2**39
    assert set(block.edges.a.tolist()) | set(block.edges.b.tolist()) <= set(ids.tolist())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"affinities": np.zeros((3, 4, 4, 4), np.float32)}, "uint8"),
        ({"affinities": np.zeros((3, 4, 4, 5), np.uint8)}, "shape"),
        ({"low": 9, "high": 8}, "low <= high"),
        ({"mask": np.ones((4, 4, 4), np.uint8)}, "bool"),
        ({"core": Box(start=(0, 0, 0), size=(4, 4, 3)), "volume_shape": (4, 4, 9)}, "read"),
        ({"smoothing": "nan"}, "sigma"),
        ({"volume_shape": (3, 4, 4)}, "region"),
    ],
)
def test_wrong_input_is_named(change, words):
    box = Box.of_shape((4, 4, 4))
    if "core" in change:
        box = change["core"]
        change["affinities"] = np.zeros((3, 4, 4, 3), np.uint8)
    given = {
        "affinities": np.zeros((3, 4, 4, 4), np.uint8), "read": box, "core": box, "volume_shape": (4, 4, 4),
        "low": 1, "high": 2, **change,
    }  # fmt: skip
    with pytest.raises(ValueError, match=words):
        block_fragments(**given)
