"""One URI a format that can be created, for tests that run over all of them."""

from __future__ import annotations

from pathlib import Path

import pytest

FORMATS = {
    "hdf5": "data.h5:volumes/raw",
    "tiff": "stack.tif",
    "folder": "sections/",
    "zarr": "array.zarr",
    "zarr in a group": "group.zarr/deep/array",
    "precomputed": "precomputed://{}/layer",
}
BY_BLOCKS = ("zarr", "precomputed")

every_format = pytest.mark.parametrize("name", list(FORMATS))


def uri_of(name: str, folder: Path) -> str:
    pattern = FORMATS[name]
    return pattern.format(folder) if "{}" in pattern else f"{folder}/{pattern}"
