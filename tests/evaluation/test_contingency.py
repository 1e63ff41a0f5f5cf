from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from axonloom.assembly.tables import TableError
from axonloom.evaluation import contingency
from axonloom.evaluation.contingency import ContingencyTable, EvaluationError
from axonloom.geometry import BlockGrid, Box

shapes = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6)


@st.composite
def two_arrays(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Arrays of one shape and any integer dtypes, few ids or many, some of them huge."""
    shape = draw(shapes)
    arrays = []
    for _ in range(2):
        dtype = np.dtype(draw(st.sampled_from(["u1", "u2", "u4", "u8", "i1", "i4", "i8", ">u4", ">i4", "?"])))
        most = 1 if dtype.kind == "b" else min(np.iinfo(dtype).max, draw(st.sampled_from([2, 9, 2**64])))
        values = draw(hnp.arrays(np.uint64, shape, elements=st.integers(0, int(most))))
        arrays.append(values.astype(dtype))
    return arrays[0], arrays[1]


def plain(segmentation: np.ndarray, labels: np.ndarray) -> dict[tuple[int, int], int]:
    return dict(Counter(zip(map(int, segmentation.ravel().tolist()), map(int, labels.ravel().tolist()), strict=True)))


def as_dict(table: ContingencyTable) -> dict[tuple[int, int], int]:
    rows = list(zip(table.segments.tolist(), table.labels.tolist(), strict=True))
    assert rows == sorted(set(rows))
    return dict(zip(rows, table.counts.tolist(), strict=True))


@given(two_arrays())
@settings(max_examples=150, deadline=None)
def test_counts_are_those_of_counting(arrays: tuple[np.ndarray, np.ndarray]) -> None:
    table = ContingencyTable.of(*arrays)
    assert as_dict(table) == plain(*arrays)
    assert table.voxels == arrays[0].size
    assert (table.segments.dtype, table.labels.dtype, table.counts.dtype) == (np.uint64, np.uint64, np.int64)


@given(two_arrays(), st.tuples(*[st.integers(1, 6)] * 3), st.randoms())
@settings(max_examples=80, deadline=None)
def test_blocks_add_to_the_whole(arrays, block, random) -> None:
    segmentation, labels = arrays
    cores = [b.core.slices for b in BlockGrid(Box.of_shape(segmentation.shape), block)]
    random.shuffle(cores)
    parts = [ContingencyTable.of(segmentation[c], labels[c]) for c in cores]
    expected = ContingencyTable.of(segmentation, labels)
    assert ContingencyTable.summed(parts) == expected
    assert sum(parts, ContingencyTable.empty()) == expected


def test_many_pairs_and_the_growth_of_the_table() -> None:
    rng = np.random.default_rng(0)
    segmentation = rng.integers(0, 60_000, 300_000).astype(np.uint64) << np.uint64(40)
    labels = rng.integers(0, 3, 300_000).astype(np.uint32)
    table = ContingencyTable.of(segmentation, labels)
    pairs, counts = np.unique(np.stack([segmentation, labels.astype(np.uint64)]), axis=1, return_counts=True)
    np.testing.assert_array_equal(table.segments, pairs[0])
    np.testing.assert_array_equal(table.labels, pairs[1])
    np.testing.assert_array_equal(table.counts, counts)
    halves = [ContingencyTable.of(s, m) for s, m in zip(np.split(segmentation, 6), np.split(labels, 6), strict=True)]
    assert ContingencyTable.summed(iter(halves)) == table


def test_counts_pass_32_bits() -> None:
    one = ContingencyTable(np.array([7], np.uint64), np.array([2**63], np.uint64), np.array([2**40], np.int64))
    assert as_dict(ContingencyTable.summed([one] * 5)) == {(7, 2**63): 5 * 2**40}


@given(two_arrays())
@settings(max_examples=80, deadline=None)
def test_relabelled_is_the_table_of_the_relabelled_array(arrays) -> None:
    segmentation, labels = arrays

    def segment_of(ids: np.ndarray) -> np.ndarray:
        assert (ids != 0).all()
        assert (np.diff(ids.astype(object)) > 0).all()
        return ids % np.uint64(4)  # some become background

    new = segmentation.astype(np.uint64) % np.uint64(4)
    assert ContingencyTable.of(segmentation, labels).relabelled(segment_of) == ContingencyTable.of(new, labels)


def test_equality_sees_each_column() -> None:
    table = ContingencyTable.of(np.array([1, 1, 2]), np.array([1, 1, 1]))
    assert table != ContingencyTable.of(np.array([1, 1, 3]), np.array([1, 1, 1]))
    assert table != ContingencyTable.of(np.array([1, 1, 2]), np.array([1, 1, 2]))
    assert table != ContingencyTable.of(np.array([1, 1, 2, 2]), np.array([1, 1, 1, 1]))
    assert table != "table"


def test_empty_arrays() -> None:
    table = ContingencyTable.of(np.zeros((0, 3, 3), np.uint8), np.zeros((0, 3, 3), np.uint8))
    assert table == ContingencyTable.empty()
    assert table.relabelled(lambda ids: ids) == table
    assert ContingencyTable.summed([]) == table


def test_views_are_read_in_their_own_order() -> None:
    rng = np.random.default_rng(1)
    segmentation, labels = rng.integers(0, 5, (2, 6, 7, 8))
    assert ContingencyTable.of(segmentation.T, np.asfortranarray(labels.T)) == ContingencyTable.of(segmentation, labels)
    assert as_dict(ContingencyTable.of(segmentation[::2, 1:], labels[::2, 1:])) == plain(
        segmentation[::2, 1:], labels[::2, 1:]
    )


@pytest.mark.parametrize(
    ("segmentation", "labels", "says"),
    [
        (np.zeros((2, 2, 2), int), np.zeros((2, 2, 3), int), "they must agree"),
        (np.zeros((2, 2, 2), np.float32), np.zeros((2, 2, 2), int), "the segmentation: values of dtype float32"),
        (np.zeros((2, 2, 2), int), np.full((2, 2, 2), -1), "the labels: ids go down to -1"),
    ],
)
def test_what_cannot_be_compared_is_named(segmentation: np.ndarray, labels: np.ndarray, says: str) -> None:
    with pytest.raises(EvaluationError, match=says):
        ContingencyTable.of(segmentation, labels)


def test_written_tables_are_read_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    table = ContingencyTable.of(rng.integers(0, 9, 500), rng.integers(0, 9, 500))
    path = tmp_path / "counts" / "block.parquet"
    for each in (table, ContingencyTable.empty()):
        each.write(path)
        assert ContingencyTable.read(path) == each
        assert [p.name for p in path.parent.iterdir()] == ["block.parquet"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "block.parquet"
    old = ContingencyTable.of(np.array([1]), np.array([1]))
    old.write(path)

    def torn(table, where, **_) -> None:
        Path(where).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr("axonloom.assembly.tables.pq.write_table", torn)
    with pytest.raises(OSError, match="no space"):
        ContingencyTable.of(np.array([2]), np.array([2])).write(path)
    monkeypatch.undo()
    assert ContingencyTable.read(path) == old
    assert [p.name for p in tmp_path.iterdir()] == ["block.parquet"]


def test_damaged_missing_and_newer_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "block.parquet"
    with pytest.raises(TableError, match=r"block\.parquet is not there"):
        ContingencyTable.read(path)
    monkeypatch.setattr(contingency, "FORMAT_VERSION", 99)
    ContingencyTable.empty().write(path)
    monkeypatch.undo()
    with pytest.raises(TableError, match="format version 99"):
        ContingencyTable.read(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(TableError, match="damaged"):
        ContingencyTable.read(path)
