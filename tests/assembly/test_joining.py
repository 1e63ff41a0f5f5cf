from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.edge_table import COLUMNS
from axonloom.assembly.exact_fractions import EXACT_BITS, compare, leading_bits
from axonloom.assembly.faces import BlockFaces, Face, face_contacts
from axonloom.assembly.id_map import IdMap, UnknownIdError
from axonloom.assembly.lookup_table import LookupTable, relabel
from axonloom.assembly.tables import TableError
from axonloom.assembly.union_find import canonical_ids
from axonloom.geometry import Box
from axonloom.segmentation.fragments import block_fragments
from tests.segmentation.whole_graph import compose, pool


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(0, 300))
def test_canonical_ids_are_the_smallest_of_each_component(seed, n, m):
    rng = np.random.default_rng(seed)
    ids = np.unique(rng.integers(1, 2**63, n, dtype=np.uint64))
    joins = rng.choice(ids, (m, 2))
    at = np.searchsorted(ids, joins)
    graph = coo_array((np.ones(m), (at[:, 0], at[:, 1])), shape=(len(ids), len(ids)))
    labels = connected_components(graph, directed=False)[1]
    wanted = np.array([ids[labels == k].min() for k in labels], np.uint64)
    np.testing.assert_array_equal(canonical_ids(ids, joins), wanted)


def test_a_join_of_an_unknown_object_is_refused():
    with pytest.raises(UnknownIdError, match="7"):
        canonical_ids(np.array([1, 2], np.uint64), np.array([[1, 7]], np.uint64))


positive = st.integers(1, 2**62)


@given(st.integers(0, 2**62), positive, st.integers(0, 2**62), positive)
def test_fractions_compare_exactly(a, b, c, d):
    x, y = Fraction(a, b), Fraction(c, d)
    assert compare(a, b, c, d) == (x > y) - (x < y)
    assert compare(a, b, a, b) == 0


@given(st.integers(1, 2**54), st.integers(0, 255), st.data())
def test_leading_bits(count, whole, data):
    total = whole * count + (data.draw(st.integers(0, count - 1)) if whole < 255 else 0)
    assert leading_bits(total, count) == (total << EXACT_BITS) // count


def test_pool_ranks_segments_by_their_smallest_fragment():
    ids = np.array([2, 5, 7, 10, 11], np.uint64)
    u = [np.array(v, np.uint64) for v in ([5, 2], [11, 10], [250, 100], [1, 1], [1, 2])]
    dendrogram = Dendrogram(*u, lowest=Fraction(0))
    np.testing.assert_array_equal(pool(ids, dendrogram, "0.99"), [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(pool(ids, dendrogram, "0.9"), [1, 2, 3, 4, 2])
    np.testing.assert_array_equal(pool(ids, dendrogram, "0"), [1, 2, 3, 1, 2])
    with pytest.raises(UnknownIdError, match="11"):
        pool(ids[:-1], dendrogram, "0")


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
def test_relabelling_many_labels_through_the_mapped_file(dtype, tmp_path):
    """More distinct labels than the kernel's first table holds, so that it grows."""
    rng = np.random.default_rng(0)
    ids = np.unique(rng.integers(1, 2**60, 30_000, dtype=np.uint64))
    segments = rng.integers(1, 2**20, len(ids)).astype(dtype)
    LookupTable(ids, segments, 2**20).write(tmp_path / "table.arrow")
    table = LookupTable.open(tmp_path / "table.arrow")
    assert not table.ids.flags.owndata
    assert not table.ids.flags.writeable
    at = rng.integers(0, len(ids), (40, 50, 60))
    background = rng.random(at.shape) < 0.2
    labels = np.where(background, np.uint64(0), ids[at])
    wanted = np.where(background, dtype(0), segments[at])
    found = relabel(labels, table)
    assert found.dtype == table.dtype == dtype
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(table.lookup(labels), wanted)

    labels[3, 4, 5] = 2**63 + 11
    for look in (relabel, lambda x, t: t.lookup(x)):
        with pytest.raises(UnknownIdError, match=str(2**63 + 11)):
            look(labels, table)


def test_composition_and_the_choice_of_dtype():
    canonical = IdMap(np.array([1, 4, 6, 9], np.uint64), np.array([1, 1, 6, 6], np.uint64))
    table = compose(canonical, np.array([1, 6], np.uint64), np.array([1, 2], np.uint64))
    np.testing.assert_array_equal(table.lookup(np.array([[9, 0], [4, 1]])), [[2, 0], [1, 1]])
    assert table.dtype == np.uint32
    table = compose(canonical, np.array([1, 6], np.uint64), np.array([1, 2**32], np.uint64))
    assert table.dtype == np.uint64
    assert table.count == 2**32


def test_empty_lookup_table(tmp_path):
    none = np.zeros(0, np.uint64)
    compose(IdMap(none, none), none, none).write(tmp_path / "t")
    table = LookupTable.open(tmp_path / "t")
    assert len(table) == 0
    assert relabel(np.zeros((2, 3, 4), np.uint64), table).shape == (2, 3, 4)
    with pytest.raises(UnknownIdError, match="5"):
        relabel(np.full((1, 1, 1), 5, np.uint64), table)


def test_faces_round_trip(tmp_path):
    affinities = np.random.default_rng(0).integers(0, 256, (3, 6, 7, 8), dtype=np.uint8)
    shape = (6, 7, 8)
    for core in (Box.of_shape(shape), Box((2, 0, 3), (3, 7, 4)), Box((0, 6, 7), (6, 1, 1))):
        faces = block_fragments(affinities, Box.of_shape(shape), core, shape, 60, 250).faces
        faces.write(tmp_path / "faces")
        back = BlockFaces.read(tmp_path / "faces")
        for side in ("low", "high"):
            for one, other in zip(getattr(faces, side), getattr(back, side), strict=True):
                assert (one is None) == (other is None)
                if one is not None:
                    assert (one.axis, one.origin) == (other.axis, other.origin)
                    for name in ("labels", "selects", "affinity"):
                        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
                        assert getattr(one, name) is None or getattr(one, name).dtype == getattr(other, name).dtype
    (tmp_path / "faces").write_bytes((tmp_path / "faces").read_bytes()[:-9])
    with pytest.raises(TableError, match="faces"):
        BlockFaces.read(tmp_path / "faces")


def test_contacts_across_a_face():
    lower = Face(2, (0, 0, 4), np.array([[1, 2, 0]], np.uint64), np.array([[False, True, False]]), None)
    upper = Face(
        2,
        (0, 0, 5),
        np.array([[9, 9, 9]], np.uint64),
        np.array([[False, False, False]]),
        np.array([[7, 8, 9]], np.uint8),
    )
    lower = Face(2, (3, 1, 4), lower.labels.T, lower.selects.T, None)
    upper = Face(2, (3, 1, 5), upper.labels.T, upper.selects.T, upper.affinity.T)
    edges, joins = face_contacts(lower, upper, (10, 5, 6))
    index = 3 * ((3 * 5 + 1) * 6 + 5) + 2
    np.testing.assert_array_equal(joins, [[2, 9]])
    assert [getattr(edges, name).tolist() for name in COLUMNS] == [[1], [9], [7], [1], [index], [(248 << 55) + index]]


@pytest.mark.parametrize("origin", [(0, 0, 4), (0, 0, 6), (1, 0, 5)])
def test_faces_that_do_not_touch_are_refused(origin):
    plane = np.ones((1, 3), np.uint64)
    lower = Face(2, (0, 0, 4), plane, plane > 0, None)
    upper = Face(2, origin, plane, plane > 0, plane.astype(np.uint8))
    with pytest.raises(ValueError, match="against each other"):
        face_contacts(lower, upper, (10, 10, 10))
