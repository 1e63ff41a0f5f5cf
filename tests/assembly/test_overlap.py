from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from axonloom.assembly.halo_slabs import OUTSIDE, HaloSlabs, Slab, provisional_ids, shared_box
from axonloom.assembly.overlap_table import OverlapTable, mutual_best
from axonloom.geometry import BlockGrid, Box


def slab(values: list[int], axis: int = 2) -> Slab:
    labels = np.array(values, np.uint64).reshape(1, 1, -1)
    return Slab(axis, Box.of_shape(labels.shape), labels)


def rows(table: OverlapTable) -> set[tuple[int, ...]]:
    return set(zip(*(getattr(table, n).tolist() for n in ("a", "b", "intersection", "size_a", "size_b")), strict=True))


def test_ids_are_those_of_the_core_and_others_are_marked():
    grid = BlockGrid(Box.of_shape((1, 2, 8)), (1, 2, 4), (0, 0, 2))
    block = grid.block(0)
    assert block.read.shape == (1, 2, 6)
    labels = np.array([[[3, 3, 0, 1, 1, 2], [0, 3, 3, 0, 2, 2]]], np.uint64)
    ids, objects = provisional_ids(labels, block.read, block.core, (1, 2, 8))
    three, one, two = 1, 4, 6 | int(OUTSIDE)
    assert ids.tolist() == [[[three, three, 0, one, one, two], [0, three, three, 0, two, two]]]
    assert objects.ids.tolist() == [1, 4]
    assert objects.voxels.tolist() == [4, 1]
    # A label that begins in the halo below takes its id from the core.
    upper = grid.block(1)
    ids, objects = provisional_ids(np.full((1, 2, 6), 1, np.uint64), upper.read, upper.core, (1, 2, 8))
    assert np.unique(ids).tolist() == [5]
    assert objects.voxels.tolist() == [8]


@pytest.mark.parametrize("halo", [(1, 2, 3), (4, 4, 4), (0, 1, 9)])
def test_neighbours_cut_the_same_voxels_even_from_thin_last_blocks(halo, tmp_path):
    grid = BlockGrid(Box.of_shape((9, 8, 11)), (4, 4, 5), halo)
    volume = np.arange(1, 9 * 8 * 11 + 1, dtype=np.uint64).reshape(9, 8, 11)
    slabs = []
    for block in grid:
        path = tmp_path / f"{block.index}.parquet"
        HaloSlabs.cut(np.ascontiguousarray(volume[block.read.slices]), grid, block.index).write(path)
        slabs.append(HaloSlabs.read(path))
    shared = 0
    for block in grid:
        for axis in range(3):
            below = grid.neighbour_below(block.index, axis)
            own = slabs[block.index].low[axis]
            assert (own is None) == (below is None)
            if below is None:
                continue
            other = slabs[below].high[axis]
            assert other.box.origin == own.box.origin
            assert own.box.origin[axis] == max(0, block.core.origin[axis] - halo[axis])
            np.testing.assert_array_equal(own.labels, other.labels)
            np.testing.assert_array_equal(own.labels, volume[shared_box(grid, block.index, axis).slices])
            shared += own.labels.size
    assert shared > 100


def test_counts_and_both_measures(tmp_path):
    table = OverlapTable.of(slab([7, 7, 7, 7, 0, 9, 9]), slab([4, 4, 4, 5, 5, 5, 0]))
    assert rows(table) == {(7, 4, 3, 4, 3), (7, 5, 1, 4, 3), (9, 5, 1, 2, 3)}
    table.write(tmp_path / "t.parquet")
    assert rows(OverlapTable.read(tmp_path / "t.parquet")) == rows(table)
    written = pq.read_table(tmp_path / "t.parquet").to_pydict()
    assert written["iou"] == pytest.approx([3 / 4, 1 / 6, 1 / 4])
    assert written["containment"] == pytest.approx([1, 1 / 3, 1 / 2])
    with pytest.raises(ValueError, match="not of the same voxels"):
        OverlapTable.of(slab([1]), slab([1, 2]))


def test_only_mutual_best_matches_of_enough_overlap_are_joined():
    table = OverlapTable.of(slab([7, 7, 7, 7, 0, 9, 9]), slab([4, 4, 4, 5, 5, 5, 0]))
    # 5 is best matched by 9 (1/4 against 1/6), and 9 by 5.
    assert mutual_best(table, "iou", "0.25").tolist() == [[7, 4], [9, 5]]
    assert mutual_best(table, "iou", "0.26").tolist() == [[7, 4]]
    assert mutual_best(table, "iou", "0.75").tolist() == [[7, 4]]
    assert mutual_best(table, "iou", "0.7500000000000000000000000001").tolist() == []
    assert mutual_best(table, "containment", "1").tolist() == [[7, 4]]


def test_a_part_is_joined_by_containment_only():
    table = OverlapTable.of(slab([7] * 10), slab([4, 4] + [0] * 8))
    assert mutual_best(table, "iou", "0.5").tolist() == []
    assert mutual_best(table, "containment", "0.5").tolist() == [[7, 4]]


@pytest.mark.parametrize("measure", ["iou", "containment"])
def test_a_speck_inside_an_object_does_not_take_the_place_of_its_other_half(measure):
    # Contained: all of 5 and 7/8 of the smaller of 7 and 4.
    table = OverlapTable.of(slab([7] * 8 + [0, 0]), slab([5] + [4] * 9))
    assert mutual_best(table, measure, "0.7").tolist() == [[7, 4]]


def test_of_equal_intersections_the_better_measure_wins():
    table = OverlapTable.of(slab([7, 7, 7, 7, 0]), slab([4, 4, 5, 5, 4]))
    assert mutual_best(table, "iou", "0").tolist() == [[7, 5]]


def test_of_equal_matches_the_larger_and_then_the_smaller_id_wins():
    both_within = OverlapTable.of(slab([7] * 6), slab([5, 4, 4, 6, 6, 0]))
    assert mutual_best(both_within, "containment", "1").tolist() == [[7, 4]]


def test_what_lies_in_the_halo_alone_competes_and_is_not_joined():
    outside = int(OUTSIDE) | 3
    table = OverlapTable.of(slab([outside] * 4 + [8]), slab([4, 4, 4, 4, 4]))
    assert mutual_best(table, "iou", "0.1").tolist() == []


def test_each_face_matches_for_itself():
    table = OverlapTable.concatenate([OverlapTable.of(slab([7, 7], a), slab([4, 4], a)) for a in (0, 2)])
    assert mutual_best(table, "iou", "1").tolist() == [[7, 4], [7, 4]]
    assert len(OverlapTable.concatenate([])) == 0
    assert mutual_best(OverlapTable.concatenate([]), "iou", "1").shape == (0, 2)
