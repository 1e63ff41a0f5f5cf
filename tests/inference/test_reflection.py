from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.geometry import Box
from axonloom.inference.reflection import read_reflected
from tests.inference.arrays import ArrayVolume, noise


@given(st.tuples(*[st.integers(1, 7)] * 3), st.data())
@settings(max_examples=150, deadline=None)
def test_equals_numpy_pad(shape: tuple[int, int, int], data: st.DataObject) -> None:
    array = noise(shape)
    padded = array
    for axis, n in enumerate(shape):  # numpy cannot reflect an axis of one voxel; repeating it is the sensible meaning
        width = [(0, 0)] * 3
        width[axis] = (12, 12)
        padded = np.pad(padded, width, mode="edge" if n == 1 else "reflect")
    ends = [sorted(data.draw(st.lists(st.integers(-12, n + 12), min_size=2, max_size=2, unique=True))) for n in shape]
    box = Box(start=[a for a, _ in ends], end=[b for _, b in ends])
    found = read_reflected(ArrayVolume(array), box)
    np.testing.assert_array_equal(found, padded[box.shifted((12, 12, 12)).slices][None])


def test_reads_once_and_only_what_is_needed() -> None:
    volume = ArrayVolume(noise((2, 30, 40, 50)))
    found = read_reflected(volume, Box(start=(-3, 10, 40), end=(5, 20, 60)))
    assert volume.reads == [Box(start=(0, 10, 39), end=(5, 20, 50))]
    assert found.shape == (2, 8, 10, 20)
