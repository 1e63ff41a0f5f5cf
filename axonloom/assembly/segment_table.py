"""How large each segment is, and where: measured block by block, added up for the volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from axonloom.assembly.tables import read_table, write_table
from axonloom.geometry import Box
from axonloom.kernel import kernel

KIND = "axonloom segment table"
FORMAT_VERSION = 1
AXES = "zyx"


@dataclass(frozen=True)
class SegmentTable:
    """One row a segment, in ascending order of ids.

    Attributes
    ----------
    ids : uint64 (n,)
    voxels : uint64 (n,)
    start, stop : int64 (n, 3)
        The box (z, y, x) of its voxels, in voxels of the volume; ``stop`` is behind the last.
    """

    ids: np.ndarray
    voxels: np.ndarray
    start: np.ndarray
    stop: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, labels: np.ndarray, box: Box) -> SegmentTable:
        """The segments (uint32 or uint64, z, y, x; 0 is none) of the voxels of ``box``."""
        ids, voxels, start, stop = _measured(np.ascontiguousarray(labels))
        order = np.argsort(ids)
        origin = np.array(box.origin, np.int64)
        return cls(ids[order].astype(np.uint64), voxels[order], start[order] + origin, stop[order] + origin)

    @classmethod
    def added_up(cls, tables: Sequence[SegmentTable]) -> SegmentTable:
        """Of parts that share no voxel the whole."""
        nothing = np.zeros((0, 3), np.int64)
        ids = np.concatenate([np.zeros(0, np.uint64), *(t.ids for t in tables)])
        voxels = np.concatenate([np.zeros(0, np.uint64), *(t.voxels for t in tables)])
        start = np.concatenate([nothing, *(t.start for t in tables)])
        stop = np.concatenate([nothing, *(t.stop for t in tables)])
        order = np.argsort(ids, kind="stable")
        ids = ids[order]
        first = np.flatnonzero(np.concatenate([ids[:1] == ids[:1], ids[1:] != ids[:-1]]))
        if not len(first):
            return cls(ids, voxels, start, stop)
        return cls(
            ids[first],
            np.add.reduceat(voxels[order], first),
            np.minimum.reduceat(start[order], first),
            np.maximum.reduceat(stop[order], first),
        )

    def largest(self, count: int) -> SegmentTable:
        """At most so many rows: the segments of the most voxels; of equals those of the smaller ids."""
        if len(self) <= count:
            return self
        kept = np.sort(np.argsort(~self.voxels, kind="stable")[:count])
        return SegmentTable(self.ids[kept], self.voxels[kept], self.start[kept], self.stop[kept])

    def write(self, path: Path, *, for_others: bool = False) -> None:
        boxes = {
            f"{name}_{axis}": np.ascontiguousarray(column[:, k])
            for name, column in (("start", self.start), ("stop", self.stop))
            for k, axis in enumerate(AXES)
        }
        table = pa.table({"id": self.ids, "voxels": self.voxels, **boxes})
        write_table(path, table, KIND, FORMAT_VERSION, for_others=for_others)

    @classmethod
    def read(cls, path: Path) -> SegmentTable:
        """Read what :meth:`write` wrote; raises TableError when the file is damaged or of a newer format."""
        table = read_table(path, KIND, FORMAT_VERSION)
        start, stop = (
            np.stack([table[f"{name}_{axis}"].to_numpy() for axis in AXES], axis=1) for name in ("start", "stop")
        )
        return cls(table["id"].to_numpy(), table["voxels"].to_numpy(), start, stop)


@kernel
def _measured(labels):
    """Ids (of the labels' type), voxels, and boxes of what is in an array; a run of equal labels along x is looked up once."""
    depth, height, width = labels.shape
    bits = 10
    slots = np.full(1 << bits, -1, np.int64)
    ids = np.empty(1 << 9, labels.dtype)
    # Voxels, first and last along z, y, x: int64 so that a row is a cache line.
    found = np.empty((1 << 9, 8), np.int64)
    n = 0
    for z in range(depth):
        for y in range(height):
            x = 0
            while x < width:
                label = labels[z, y, x]
                begin = x
                x += 1
                while x < width and labels[z, y, x] == label:
                    x += 1
                if label == 0:
                    continue
                slot = _slot_of(slots, ids, label, bits)
                k = slots[slot]
                if k < 0:
                    if n == len(ids):
                        more_ids, more = np.empty(2 * n, labels.dtype), np.empty((2 * n, 8), np.int64)
                        more_ids[:n], more[:n] = ids, found
                        ids, found = more_ids, more
                        bits += 1
                        slots = np.full(1 << bits, -1, np.int64)
                        for i in range(n):
                            slots[_slot_of(slots, ids, ids[i], bits)] = i
                        slot = _slot_of(slots, ids, label, bits)
                    k = n
                    slots[slot] = k
                    n += 1
                    ids[k] = label
                    found[k, 0] = 0
                    found[k, 1], found[k, 2], found[k, 3] = z, y, begin
                    found[k, 4], found[k, 5], found[k, 6] = z, y, x
                found[k, 0] += x - begin
                found[k, 2], found[k, 3] = min(found[k, 2], y), min(found[k, 3], begin)
                found[k, 4], found[k, 5], found[k, 6] = z, max(found[k, 5], y), max(found[k, 6], x)
    stop = found[:n, 4:7].copy()
    for i in range(n):
        stop[i, 0] += 1
        stop[i, 1] += 1
    return ids[:n], found[:n, 0].astype(np.uint64), found[:n, 1:4].copy(), stop


@kernel
def _slot_of(slots, ids, label, bits):
    """Where the row of a label is noted in a table of 2**bits (Fibonacci hashing, Knuth), or the free slot where it would be."""
    slot = np.int64((np.uint64(label) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits))
    while slots[slot] >= 0 and ids[slots[slot]] != label:
        slot = (slot + 1) & (len(slots) - 1)
    return slot
