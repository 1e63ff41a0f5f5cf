from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from skimage.metrics import variation_of_information

from axonloom.evaluation.contingency import ContingencyTable, EvaluationError
from axonloom.evaluation.report import evaluate_volumes, score
from tests.inference.arrays import ArrayVolume


def volume(array: np.ndarray, uri: str = "memory", voxel_size: Any = None, offset: Any = (0, 0, 0)) -> ArrayVolume:
    made = ArrayVolume(array)
    made.uri, made.voxel_size, made.offset = uri, voxel_size, offset
    return made


@pytest.fixture
def arrays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.integers(0, 6, (9, 13, 17)).astype(np.uint64), rng.integers(0, 4, (9, 13, 17)).astype(np.uint16)


@pytest.mark.parametrize("block", [(9, 13, 17), (4, 4, 4), (8, 12, 16), (1, 1, 17), (100, 100, 100)])
@pytest.mark.parametrize("predicted_zero", ["segment", "singletons", "drop"])
def test_blocks_change_nothing(arrays, block, predicted_zero) -> None:
    segmentation, labels = arrays
    found = evaluate_volumes(volume(segmentation), volume(labels), block, predicted_zero)
    assert found == score(ContingencyTable.of(*arrays), predicted_zero, region=((0, 0, 0), (9, 13, 17)))


def test_the_record_says_what_was_counted(arrays) -> None:
    segmentation, labels = arrays
    found = evaluate_volumes(volume(segmentation), volume(labels))
    split, merge = variation_of_information(labels, segmentation, ignore_labels=(0,))
    stored = json.loads(json.dumps(found.to_dict()))
    assert stored["voi_split"] == pytest.approx(split)
    assert stored["voi_merge"] == pytest.approx(merge)
    assert stored["voi"] == pytest.approx(split + merge)
    assert stored["voxels"] == labels.size
    assert stored["voxels_unlabelled"] == (labels == 0).sum()
    assert stored["voxels_scored"] == (labels != 0).sum()
    assert stored["voxels_predicted_zero"] == ((labels != 0) & (segmentation == 0)).sum()
    assert (stored["segments"], stored["labels"]) == (5, 3)
    assert stored["region"] == [[0, 0, 0], [9, 13, 17]]
    assert "one segment" in stored["conventions"]
    dropped = score(ContingencyTable.of(*arrays), "drop")
    assert dropped.voxels_scored == ((labels != 0) & (segmentation != 0)).sum()
    assert dropped.region is None


def test_labels_of_a_small_box_inside_a_large_segmentation(arrays) -> None:
    segmentation, labels = arrays
    box = (slice(2, 7), slice(3, 13), slice(1, 12))
    found = evaluate_volumes(
        volume(segmentation, voxel_size=(40, 8, 8), offset=(100, 200, 300)),
        volume(labels[box], voxel_size=(40.0, 8.0, 8.0), offset=(102, 203, 301)),
        (4, 4, 4),
    )
    assert found == score(ContingencyTable.of(segmentation[box], labels[box]), region=((2, 3, 1), (7, 13, 12)))


def test_one_shape_needs_no_offsets(arrays) -> None:
    segmentation, labels = arrays
    found = evaluate_volumes(volume(segmentation, offset=(5, 5, 5)), volume(labels))
    assert found.region == ((0, 0, 0), (9, 13, 17))


NM = (40, 8, 8)


@pytest.mark.parametrize(
    ("segmentation", "labels", "says"),
    [
        ({"shape": (4, 4, 5)}, {}, r"seg has \(4, 4, 5\) voxels .* and gt \(4, 4, 4\): cut one"),
        ({"shape": (4, 4, 5), "voxel_size": NM}, {}, "give both their voxel size and offset"),
        (
            {"shape": (9, 9, 9), "voxel_size": NM},
            {"voxel_size": NM, "offset": (6, 0, 0)},
            r"cover Box\[6:10, 0:4, 0:4\] of the segmentation's Box\[0:9, 0:9, 0:9\] and reach outside",
        ),
        ({"voxel_size": NM}, {"voxel_size": (40, 16, 16)}, "seg are 40 x 8 x 8 nm .* gt 40 x 16 x 16 nm"),
        ({"offset": (1, 0, 0)}, {"offset": (2, 0, 0)}, "show different places"),
        ({"dtype": np.float32}, {}, "seg: values of dtype float32 are no object ids"),
        ({}, {"dtype": np.float64}, "gt: values of dtype float64 are no object ids"),
        ({"shape": (3, 4, 4, 4)}, {}, "seg has 3 channels"),
        ({}, {"fill": 0}, "seg against gt, .*: the labels hold no object"),
    ],
)
def test_what_cannot_be_compared_is_named(segmentation: dict, labels: dict, says: str) -> None:
    def made(uri: str, shape=(4, 4, 4), dtype=np.uint32, fill=1, **about) -> ArrayVolume:
        return volume(np.full(shape, fill, dtype), uri, **about)

    with pytest.raises(EvaluationError, match=says):
        evaluate_volumes(made("seg", **segmentation), made("gt", **labels))


def test_dropping_all_that_is_labelled_is_named() -> None:
    ones, zeros = np.ones((2, 2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8)
    with pytest.raises(EvaluationError, match="'drop' leaves nothing to score"):
        evaluate_volumes(volume(zeros), volume(ones), predicted_zero="drop")
    assert evaluate_volumes(volume(zeros), volume(ones), predicted_zero="segment").voi == 0
    assert evaluate_volumes(volume(zeros), volume(ones), predicted_zero="singletons").voi_split == 3
