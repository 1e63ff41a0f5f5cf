from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from axonloom.segmentation.waterz_backend import waterz_segmentations
from tests.segmentation.blocked import segment


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    pairs = np.unique(np.stack([one.ravel().astype(np.uint64), other.ravel().astype(np.uint64)]), axis=1)
    return len(np.unique(pairs[0])) == pairs.shape[1] == len(np.unique(pairs[1]))


@pytest.fixture(scope="module")
def oracle(shared: Path):
    folder = shared / "oracle" / "pytc"
    if not (folder / "waterz_agglomeration.npz").is_file():
        pytest.skip("no outputs of waterz to compare with")
    with np.load(folder / "waterz_agglomeration.npz") as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads((folder / "waterz_agglomeration_spec.json").read_text())["cases"]


def score_name(scoring: str) -> str:
    return "mean" if "Mean" in scoring else f"aff{scoring.split(', ')[1]}_his256"


def test_equals_recorded_outputs(oracle):
    arrays, cases = oracle
    assert len(cases) > 10
    for case in cases:
        found = waterz_segmentations(
            arrays["affinity_uint8"],
            [1 - Decimal(str(case["threshold"]))],
            score_name(case["scoring"]),
            case["low"],
            case["high"],
            arrays["fragments2d"] if case["fragments"] == "2d" else None,
            case["queue"],
        )[0]
        assert same_partition(found, arrays[case["array"]]), case["array"]
        assert len(np.unique(found)) == case["n_segments"] or len(np.unique(found)) - 1 == case["n_segments"]


def test_our_mean_agglomeration_agrees(oracle):
    """On the same fragments, up to the order of equal floats."""
    affinities = oracle[0]["affinity_uint8"]
    result = segment(affinities, (5, 30, 40), 13, 252)
    fragments = result.fragments
    kept = fragments.copy()
    for threshold in ("0.6503", "0.5007", "0.3501"):
        ours = result.segmentation("0.2", threshold)
        theirs = waterz_segmentations(affinities, [threshold], fragments=fragments)[0]
        assert abs(int(ours.max()) - int(theirs.max())) <= 0.005 * ours.max()
        pairs, counts = np.unique(
            np.stack([ours.ravel(), theirs.ravel().astype(ours.dtype)]), axis=1, return_counts=True
        )
        largest = {}
        for a, n in zip(pairs[0].tolist(), counts.tolist(), strict=True):
            largest[a] = max(largest.get(a, 0), n)
        assert sum(largest.values()) / ours.size > 0.995
    np.testing.assert_array_equal(fragments, kept)


def test_every_threshold_is_its_own_array_in_the_order_given(oracle, capfd):
    affinities = oracle[0]["affinity_uint8"][:, :, :20, :20]
    found = waterz_segmentations(affinities, ["0.9", "0.3", "0.9"])
    np.testing.assert_array_equal(found[0], found[2])
    assert found[1].max() < found[0].max()
    assert [f.max() == len(np.unique(f[f > 0])) for f in found] == [True] * 3
    assert capfd.readouterr().out == ""


def test_stdout_comes_back(capfd):
    waterz_segmentations(np.full((3, 2, 2, 2), 200, np.uint8), ["0.5"])
    print("still here")
    assert capfd.readouterr().out == "still here\n"


def test_large_sparse_fragment_ids_are_fine():
    fragments = np.array([[[2**60, 2**60, 7, 0]]], np.uint64)
    affinities = np.full((3, 1, 1, 4), 250, np.uint8)
    found = waterz_segmentations(affinities, ["0.5", "0.99"], fragments=fragments)
    np.testing.assert_array_equal(found[0], [[[1, 1, 1, 0]]])
    np.testing.assert_array_equal(found[1], [[[1, 1, 2, 0]]])


def test_refusals():
    wrong = np.zeros((3, 2, 2, 2), np.float32)
    wrong[0, 1, 1, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        waterz_segmentations(wrong, ["0.5"])
    with pytest.raises(ValueError, match="aff50_his256"):
        waterz_segmentations(wrong, ["0.5"], score="median")
    with pytest.raises(ValueError, match="fragments"):
        waterz_segmentations(np.zeros((3, 2, 2, 2), np.uint8), ["0.5"], fragments=np.zeros((2, 2, 3), np.uint64))
