"""``axonloom info``: what a volume is."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from axonloom.volumes import open_volume
from cli.options import AsJson
from cli.running import console, sentences


def info(
    uri: Annotated[str, typer.Argument(help="Path or URL: file.h5:dataset, stack.tif, array.zarr, precomputed://…")],
    as_json: AsJson = False,
) -> None:
    """Print what a volume is: format, shape, type, voxel size, offset. Reads no voxels."""
    with sentences():
        facts = open_volume(uri).describe()
    if as_json:
        print(json.dumps(facts))
        return
    size = facts["bytes"]
    shown = {**facts, "bytes": f"{size} ({size / 2**30:.2f} GiB)"}
    for name, value in shown.items():
        console.print(f"{name:>15}  {'not stated' if value is None else value}")
