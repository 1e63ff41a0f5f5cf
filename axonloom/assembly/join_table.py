"""Pairs of provisional fragments that are one fragment: what the faces between blocks found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from axonloom.assembly.tables import read_table, write_table

KIND = "axonloom joins"
FORMAT_VERSION = 1


def write_joins(path: Path, joins: np.ndarray) -> None:
    """Write joins, uint64 (n, 2), atomically."""
    write_table(path, pa.table({"a": joins[:, 0], "b": joins[:, 1]}), KIND, FORMAT_VERSION)


def read_joins(path: Path) -> np.ndarray:
    """Joins as uint64 (n, 2); raises TableError when the file is damaged or of a newer format."""
    table = read_table(path, KIND, FORMAT_VERSION)
    return np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1)
