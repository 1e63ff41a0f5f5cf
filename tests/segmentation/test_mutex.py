from __future__ import annotations

import numpy as np
import pytest

from axonloom.segmentation.mutex import mutex_watershed

NEAREST = [(-1, 0, 0), (0, -1, 0), (0, 0, -1)]


def row(nearest: list[int], second: list[int]) -> np.ndarray:
    """Affinities of a row of voxels to the one before, and to the one two before."""
    return np.array([nearest, second], np.uint8).reshape(2, 1, 1, -1)


def labels_of(affinities: np.ndarray, low: int = 1, offsets: object = ((0, 0, -1), (0, 0, -2))) -> list[int]:
    return mutex_watershed(affinities, list(offsets), low)[0, 0].tolist()  # type: ignore[call-overload]


def by_definition(affinities: np.ndarray, offsets: list, low: int, mask: np.ndarray) -> np.ndarray:
    """Edge by edge in Python, with the sets of regions that must stay apart written down."""
    shape = affinities.shape[1:]
    edges = []
    nearest = [c for c, o in enumerate(offsets) if sum(map(abs, o)) == 1]
    for place, c in enumerate(nearest + [c for c in range(len(offsets)) if c not in nearest]):
        for v in np.ndindex(*shape):
            w = tuple(a + b for a, b in zip(v, offsets[c], strict=True))
            if not all(0 <= a < n for a, n in zip(w, shape, strict=True)) or not (mask[v] and mask[w]):
                continue
            value = int(affinities[(c, *v)])
            if c not in nearest:
                edges.append((-(255 - value), place, v, w, False))
            elif value >= low:
                edges.append((-value, place, v, w, True))
    region = {v: {v} for v in np.ndindex(*shape)}
    apart: dict[int, set] = {}
    seen = set()
    for _, _, v, w, attracts in sorted(edges):
        seen |= {v, w} if attracts else set()
        one, other = region[v], region[w]
        if one is other:
            continue
        if not attracts:
            apart.setdefault(id(one), set()).add(w)
            apart.setdefault(id(other), set()).add(v)
        elif not (apart.get(id(one), set()) & other or apart.get(id(other), set()) & one):
            apart[id(one)] = apart.get(id(one), set()) | apart.pop(id(other), set())
            one |= other
            for u in other:
                region[u] = one
    out = np.zeros(shape, np.uint64)
    numbers: dict[int, int] = {}
    for v in np.ndindex(*shape):
        if v in seen:
            out[v] = numbers.setdefault(id(region[v]), len(numbers) + 1)
    return out


def test_a_strong_repulsion_comes_before_a_weaker_attraction():
    # 0 and 2 repel with 217 of 255: after 0-1 (230), before 1-2 (204).
    assert labels_of(row([0, 230, 204, 179], [0, 0, 38, 230])) == [1, 1, 2, 2]
    # With 191 it comes after 1-2, and forbids nothing any more.
    assert labels_of(row([0, 230, 204, 179], [0, 0, 64, 230])) == [1, 1, 1, 1]


def test_values_speak_of_the_voxel_and_the_one_at_the_offset():
    after = np.array([[230, 10, 230, 0], [255, 255, 255, 255]], np.uint8).reshape(2, 1, 1, 4)
    assert labels_of(after, 100, [(0, 0, 1), (0, 0, 2)]) == [1, 1, 2, 2]


def test_of_equals_attraction_comes_first_and_then_the_earlier_voxel():
    # Repulsion 155 = attraction 155.
    assert labels_of(row([0, 155, 155], [0, 0, 100])) == [1, 1, 1]
    assert labels_of(row([0, 155, 155], [0, 0, 99])) == [1, 1, 2]


def test_below_low_nothing_joins_and_lone_voxels_are_background():
    assert labels_of(row([0, 200, 40, 200, 40], [0, 0, 255, 255, 255]), low=41) == [1, 1, 2, 2, 0]
    assert labels_of(row([0, 200, 40, 200, 40], [0, 0, 255, 255, 255]), low=40) == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_definition_edge_by_edge(seed):
    rng = np.random.default_rng(seed)
    offsets = [(0, 0, -3), *NEAREST, (0, -2, 0), (-1, 0, 2), (-2, 0, 0)]
    # Few values: most edges are equals.
    affinities = rng.integers(0, 8, (len(offsets), 4, 6, 7)).astype(np.uint8) * 36
    mask = rng.random((4, 6, 7)) > 0.1
    low = [0, 37, 108][seed % 3]
    found = mutex_watershed(affinities, offsets, low, mask)
    expected = by_definition(affinities, offsets, low, mask)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) > 5
    np.testing.assert_array_equal(found, mutex_watershed(affinities, offsets, low, mask))


def test_refusals():
    with pytest.raises(ValueError, match=r"takes uint8 \(3, z, y, x\)"):
        mutex_watershed(np.zeros((3, 2, 2, 2), np.float32), NEAREST, 1)
    with pytest.raises(ValueError, match="nothing would be joined"):
        mutex_watershed(np.zeros((1, 2, 2, 2), np.uint8), [(0, 0, 2)], 1)
    with pytest.raises(ValueError, match="the mask is bool"):
        mutex_watershed(np.zeros((3, 2, 2, 2), np.uint8), NEAREST, 1, np.ones((2, 2, 2), np.uint8))
