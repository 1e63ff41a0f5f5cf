"""What a block must leave behind so that its neighbours can be joined to it without reading a voxel again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from axonloom.assembly.affinity_bins import BIN_BITS, BINS
from axonloom.assembly.edge_table import INDEX_BITS, EdgeTable
from axonloom.assembly.tables import read_table, write_table
from axonloom.assembly.thresholds import FULL_SCALE
from axonloom.geometry import Zyx

KIND = "axonloom block faces"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Face:
    """One outermost plane of a block's core, and the edges that cross from it into the neighbour.

    Attributes
    ----------
    axis : int
        The axis (0 = z) that the plane stands across.
    origin : (z, y, x)
        The plane's first voxel, in voxels of the volume.
    labels : uint64, 2-D
        Provisional fragment ids of the plane's voxels (the two other axes, in zyx order); 0 is background.
    selects : bool, 2-D
        Whether this side joins the two voxels of the edge: it is this voxel's best edge, or reaches the high threshold.
    affinity : uint8, 2-D, or None
        Raw affinity of the edge to the plane below. A low face has it; the edges above a high face are stored in the
        neighbour.
    """

    axis: int
    origin: Zyx
    labels: np.ndarray
    selects: np.ndarray
    affinity: np.ndarray | None


@dataclass(frozen=True)
class BlockFaces:
    """The six faces of a block: ``low[axis]`` and ``high[axis]``, None at the edge of the region."""

    low: tuple[Face | None, Face | None, Face | None]
    high: tuple[Face | None, Face | None, Face | None]

    def write(self, path: Path) -> None:
        """Write all faces to one small file, atomically."""
        faces = [(side, face) for side in ("low", "high") for face in getattr(self, side) if face is not None]
        table = pa.table(
            {
                "side": pa.array([side for side, _ in faces], pa.string()),
                "axis": pa.array([face.axis for _, face in faces], pa.int8()),
                "origin": pa.array([list(face.origin) for _, face in faces], pa.list_(pa.int64())),
                "shape": pa.array([list(face.labels.shape) for _, face in faces], pa.list_(pa.int64())),
                "labels": _planes([face.labels for _, face in faces], pa.uint64()),
                "selects": _planes([face.selects for _, face in faces], pa.bool_()),
                "affinity": _planes([_or_empty(face.affinity) for _, face in faces], pa.uint8()),
            }
        )
        write_table(path, table, KIND, FORMAT_VERSION)

    @classmethod
    def read(cls, path: Path) -> BlockFaces:
        """Read what :meth:`write` wrote; raises TableError when the file is damaged or of a newer format."""
        table = read_table(path, KIND, FORMAT_VERSION)
        found: dict[str, list[Face | None]] = {"low": [None] * 3, "high": [None] * 3}
        for i in range(table.num_rows):
            side, axis = table["side"][i].as_py(), table["axis"][i].as_py()
            shape = tuple(table["shape"][i].as_py())

            def plane(name: str, row: int = i, shape: tuple[int, ...] = shape) -> np.ndarray:
                return table[name][row].values.to_numpy(zero_copy_only=False).reshape(shape)

            z, y, x = table["origin"][i].as_py()
            found[side][axis] = Face(
                axis, (z, y, x), plane("labels"), plane("selects"), plane("affinity") if side == "low" else None
            )
        low, high = found["low"], found["high"]
        return cls((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def _planes(arrays: list[np.ndarray], kind: pa.DataType) -> pa.Array:
    ends = np.cumsum([0, *(a.size for a in arrays)])
    flat = np.concatenate([a.ravel() for a in arrays]) if arrays else np.zeros(0)
    return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.array(flat, kind))


def _or_empty(array: np.ndarray | None) -> np.ndarray:
    return np.zeros(0, np.uint8) if array is None else array


def face_contacts(
    lower: Face, upper: Face, volume_shape: Zyx, *, histograms: bool = False
) -> tuple[EdgeTable, np.ndarray]:
    """The contacts across the face between two neighbouring blocks.

    Parameters
    ----------
    lower : Face
        The high face of the block below.
    upper : Face
        The low face of the block above.
    volume_shape : (z, y, x)
        Voxels of the stored volume, which number the voxels.
    histograms : bool
        Whether the edges have them.

    Returns
    -------
    EdgeTable
        Contacts between foreground voxels that the faces leave apart, aggregated; joins by way of other voxels make some
        of them self-edges later.
    joins : uint64 (n, 2)
        Pairs of provisional ids that are one fragment, (lower, upper), sorted, without repeats.

    Raises
    ------
    ValueError
        The two planes do not touch.
    """
    axis = upper.axis
    step = tuple(b - a for a, b in zip(lower.origin, upper.origin, strict=True))
    if (
        lower.axis != axis
        or step != tuple(int(c == axis) for c in range(3))
        or lower.labels.shape != upper.labels.shape
        or upper.affinity is None
    ):
        raise ValueError(
            f"the faces at {lower.origin} (axis {lower.axis}, {lower.labels.shape}) and {upper.origin} "
            f"(axis {axis}, {upper.labels.shape}) do not lie against each other"
        )
    foreground = (lower.labels != 0) & (upper.labels != 0)
    joined = foreground & (lower.selects | upper.selects)
    pairs = _distinct_pairs(lower.labels[joined], upper.labels[joined])

    apart = foreground & ~joined
    below, above = lower.labels[apart], upper.labels[apart]
    affinity = upper.affinity[apart].astype(np.uint64)
    index = _edge_indices(upper, volume_shape)[apart]
    edges = EdgeTable(
        np.minimum(below, above),
        np.maximum(below, above),
        affinity,
        np.ones(len(affinity), np.uint64),
        index,
        (np.uint64(FULL_SCALE) - affinity) << np.uint64(INDEX_BITS) | index,
        np.eye(BINS, dtype=np.uint32)[affinity >> np.uint64(BIN_BITS)] if histograms else np.zeros((0, 0), np.uint32),
    )
    return edges.aggregated(), pairs


def _distinct_pairs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Pairs of ids (n, 2), sorted, without repeats; neighbours along a row mostly repeat each other."""
    fresh = np.concatenate([one[:1] == one[:1], (one[1:] != one[:-1]) | (other[1:] != other[:-1])])
    one, other = one[fresh], other[fresh]
    order = np.lexsort((other, one))
    one, other = one[order], other[order]
    fresh = np.concatenate([one[:1] == one[:1], (one[1:] != one[:-1]) | (other[1:] != other[:-1])])
    return np.stack([one[fresh], other[fresh]], axis=1)


def _edge_indices(face: Face, volume_shape: Zyx) -> np.ndarray:
    """Global index of the edge below each voxel of a low face (uint64, 2-D)."""
    extent = list(face.labels.shape)
    extent.insert(face.axis, 1)
    z, y, x = (
        np.arange(o, o + n, dtype=np.uint64).reshape([-1 if c == k else 1 for k in range(3)])
        for c, (o, n) in enumerate(zip(face.origin, extent, strict=True))
    )
    _, ny, nx = (np.uint64(n) for n in volume_shape)
    linear = (z * ny + y) * nx + x
    return (np.uint64(3) * linear + np.uint64(face.axis)).reshape(face.labels.shape)
