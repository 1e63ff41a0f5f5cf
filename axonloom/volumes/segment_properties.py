"""What Neuroglancer shows beside a layer's segments: their sizes and boxes, to sort and to search by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.segment_table import SegmentTable
from axonloom.durable import write_json
from axonloom.geometry import Zyx
from axonloom.volumes.precomputed_info import read_info

#: The folder in the layer, which its info names.
FOLDER = "segment_properties"


def write_segment_properties(layer: Path, segments: SegmentTable, offset: Zyx) -> None:
    """Write the properties of some segments of a precomputed layer, and name them in its info; any number of times.

    The format is Neuroglancer's ``neuroglancer_segment_properties``: all in one file that a browser reads whole. Boxes are
    in its voxels: those of the volume, moved by its ``offset`` (z, y, x).
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
    (layer / FOLDER).mkdir(exist_ok=True)
    write_json(layer / FOLDER / "info", content)
    info = read_info(str(layer))
    if info.get(FOLDER) != FOLDER:
        write_json(layer / "info", {**info, FOLDER: FOLDER})


def _number(name: str, what: str, values: np.ndarray) -> dict[str, Any]:
    """A numeric property; Neuroglancer takes 32 bits: what does not fit becomes a float."""
    kind = next((t for t in ("uint32", "int32") if _fits(values, t)), "float32")
    shown = values.astype(np.float32).astype(float) if kind == "float32" else values
    return {"id": name, "type": "number", "description": what, "data_type": kind, "values": shown.tolist()}


def _fits(values: np.ndarray, kind: str) -> bool:
    limits = np.iinfo(kind)
    return not len(values) or (int(values.min()) >= limits.min and int(values.max()) <= limits.max)
