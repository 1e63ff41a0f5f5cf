"""The memory of training against the size of the volumes."""

from __future__ import annotations

import pytest

from benchmarks.training_memory import measure

MIB = 1 << 20


@pytest.mark.slow
@pytest.mark.parametrize("format", ["zarr", "hdf5", "precomputed"])
def test_memory_does_not_grow_with_the_volume(format):
    small, large = measure(format, (64, 256, 256)), measure(format, (256, 384, 384))
    assert large["volume_bytes"] - small["volume_bytes"] == 160 * MIB
    assert large["peak_bytes"] - small["peak_bytes"] < 20 * MIB


@pytest.mark.slow
def test_a_cache_holds_what_it_may_and_no_more():
    shape = (128, 256, 256)  # 40 MiB of image and labels
    within, without = measure("zarr", shape, cache=0.05), measure("zarr", shape, cache=0.03)
    # Kept once, however many threads ask for it first; a slab is held twice while it is read.
    assert 30 * MIB < within["peak_bytes"] - without["peak_bytes"] < 80 * MIB
