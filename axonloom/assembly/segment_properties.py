"""What Neuroglancer shows beside a layer's segments: their sizes and boxes, to sort and to search by.

The format is its ``neuroglancer_segment_properties``: one file that a browser reads whole, named in the layer's info.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.segment_table import SegmentTable
from axonloom.durable import write_json
from axonloom.geometry import Zyx
from axonloom.volumes.precomputed_info import read_info

#: The folder in the layer, and the key of its info that names it.
FOLDER = "segment_properties"


def add_segment_properties(layer: Path) -> None:
    """Name the properties in the info of a precomputed layer that has no segments yet."""
    write_segment_properties(layer, SegmentTable.added_up([]), (0, 0, 0))
    write_json(layer / "info", {**read_info(str(layer)), FOLDER: FOLDER})


def properties_path(layer: Path) -> Path:
    return layer / FOLDER / "info"


def write_segment_properties(layer: Path, segments: SegmentTable, offset: Zyx) -> None:
    """Write the properties of some segments of a precomputed layer, in place of others.

    Boxes are in Neuroglancer's voxels: those of the volume, moved by its ``offset`` (z, y, x).
    """
    moved = np.array(offset, np.int64)
    numbers = [_number("voxels", "voxels of the segment", segments.voxels)]
    for name, what, column in (
        ("start", "first voxel of its box along", segments.start + moved),
        ("stop", "end of its box along", segments.stop + moved),
    ):
        numbers += [
            _number(f"{name}_{axis}", f"{what} {axis}", column[:, k]) for k, axis in ((2, "x"), (1, "y"), (0, "z"))
        ]
    content = {
        "@type": "neuroglancer_segment_properties",
        "inline": {"ids": [str(i) for i in segments.ids.tolist()], "properties": numbers},
    }
    write_json(properties_path(layer), content, indent=None)


def _number(name: str, what: str, values: np.ndarray) -> dict[str, Any]:
    """A numeric property; Neuroglancer takes 32 bits: what does not fit becomes a float."""
    kind = next((t for t in ("uint32", "int32") if _fits(values, t)), "float32")
    shown = values.astype(np.float32).astype(float) if kind == "float32" else values
    return {"id": name, "type": "number", "description": what, "data_type": kind, "values": shown.tolist()}


def _fits(values: np.ndarray, kind: str) -> bool:
    limits = np.iinfo(kind)
    return not len(values) or (int(values.min()) >= limits.min and int(values.max()) <= limits.max)
