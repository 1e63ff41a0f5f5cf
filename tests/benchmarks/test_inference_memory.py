"""The memory of inference against the size of the volume."""

from __future__ import annotations

import pytest

from benchmarks.inference_memory import measure


@pytest.mark.slow
def test_memory_does_not_grow_with_the_volume():
    # The first dozens of blocks find the allocator's level.
    small, large = measure((128, 192, 256), (64, 64, 64)), measure((256, 256, 320), (64, 64, 64))
    assert (small["blocks"], large["blocks"]) == (24, 80)
    # Fifty-six blocks more, of 0.26 MB of image and 0.8 MB of affinities each: 59 MB, the images alone 15.
    assert large["above_bytes"] - small["above_bytes"] < 12 << 20
