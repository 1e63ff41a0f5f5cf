"""The memory of inference against the size of the volume."""

from __future__ import annotations

import pytest

from benchmarks.inference_memory import measure


@pytest.mark.slow
def test_memory_does_not_grow_with_the_volume():
    small, large = measure((64, 64, 128), (64, 64, 64)), measure((128, 192, 256), (64, 64, 64))
    assert (small["blocks"], large["blocks"]) == (2, 24)
    # Twenty-two blocks more, of 0.26 MB of image and 0.8 MB of affinities each.
    assert large["above_bytes"] - small["above_bytes"] < 8 << 20
