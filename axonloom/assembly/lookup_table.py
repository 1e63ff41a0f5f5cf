"""From provisional fragments to segments: the table that turns all blocks' labels into one segmentation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from axonloom.assembly.id_map import UnknownIdError, positions
from axonloom.assembly.tables import TableError, require_stamp, stamped
from axonloom.durable import replacing
from axonloom.kernel import kernel

KIND = "axonloom lookup table"
FORMAT_VERSION = 1


def numbered(smallest: np.ndarray) -> np.ndarray:
    """Segments named by their smallest fragment's id (uint64), numbered 1..m (uint64) in the order of these ids."""
    _, rank = np.unique(smallest, return_inverse=True)
    return rank.astype(np.uint64) + np.uint64(1)


@dataclass(frozen=True)
class LookupTable:
    """``ids[i]`` (uint64, ascending) belongs to ``segments[i]``, one of 1..``count``, or 0 for background.

    Segments are uint32 where ``count`` fits, else uint64: one choice for the whole volume. A table that was opened lies in
    its file and takes memory only for the pages that are looked at.
    """

    ids: np.ndarray
    segments: np.ndarray
    count: int

    @property
    def dtype(self) -> np.dtype:
        """The data type of the segmentation."""
        return self.segments.dtype

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, ids: np.ndarray, segments: np.ndarray, count: int) -> LookupTable:
        """The rows of a part of the volume; ``count`` is that of all parts, and decides the data type."""
        return cls(ids, segments.astype(np.uint32 if count < 2**32 else np.uint64), count)

    @classmethod
    def united(cls, one: LookupTable, other: LookupTable) -> LookupTable:
        """The rows of two parts that share no id."""
        ids = np.concatenate([one.ids, other.ids])
        order = np.argsort(ids, kind="stable")
        return cls(ids[order], np.concatenate([one.segments, other.segments])[order], one.count)

    def lookup(self, ids: np.ndarray) -> np.ndarray:
        """Segments of fragment ids, in their shape; 0 stays 0.

        Raises
        ------
        UnknownIdError
            Names the first id that the table lacks.
        """
        flat = np.asarray(ids, np.uint64).ravel()
        result = np.zeros(len(flat), self.dtype)
        wanted = flat != 0
        result[wanted] = self.segments[positions(self.ids, flat[wanted], "the lookup table")]
        return result.reshape(np.shape(ids))

    def write(self, path: Path) -> None:
        """Write the table as an uncompressed Arrow IPC file, atomically."""
        table = stamped(pa.table({"id": self.ids, "segment": self.segments}), KIND, FORMAT_VERSION)
        metadata = {**(table.schema.metadata or {}), b"count": str(self.count).encode()}
        table = table.replace_schema_metadata(metadata).combine_chunks()
        with (
            replacing(Path(path)) as temporary,
            pa.OSFile(str(temporary), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as out,
        ):
            for batch in table.to_batches():
                out.write_batch(batch)

    @classmethod
    def open(cls, path: Path) -> LookupTable:
        """Map what :meth:`write` wrote into memory.

        Raises
        ------
        TableError
            The file is missing, damaged, or of a newer format; names the file.
        """
        path = Path(path)
        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            require_stamp(reader.schema, KIND, FORMAT_VERSION, path)
            columns = reader.get_batch(0) if reader.num_record_batches == 1 else reader.read_all().combine_chunks()
        except FileNotFoundError:
            raise TableError(f"{path} is not there, but should hold the {KIND}") from None
        except (pa.ArrowException, OSError) as error:
            raise TableError(f"{path} is damaged or cut short ({KIND}): make it again ({error})") from error
        ids, segments = (_as_array(columns.column(name)) for name in ("id", "segment"))
        return cls(ids, segments, int((reader.schema.metadata or {})[b"count"]))


def _as_array(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The column without a copy, where it lies in one piece."""
    return column.to_numpy()


def relabel(labels: np.ndarray, table: LookupTable) -> np.ndarray:
    """The segmentation of an array of provisional fragments: its shape, the table's dtype; 0 stays 0.

    Raises
    ------
    UnknownIdError
        Names an id that the table lacks.
    """
    blocks = np.ascontiguousarray(labels, labels.dtype if labels.dtype in (np.uint32, np.uint64) else np.uint64)
    blocks = blocks if blocks.ndim == 3 else blocks.reshape(1, 1, -1)
    out = np.empty(blocks.shape, table.dtype)
    missing = _relabel(blocks, table.ids, table.segments, out)
    if missing >= 0:
        raise UnknownIdError(
            f"fragment {blocks.ravel()[missing]} is not in the lookup table ({len(table)} fragments): "
            "the table was made from other fragments than these"
        )
    return out.reshape(np.shape(labels))


@kernel
def _relabel(labels, ids, segments, out):
    """Fill ``out``; returns where the first unknown label stands in the flat array, or -1.

    Most voxels have the label of a voxel next to them and copy what that one got. Each distinct label is searched for once
    and then kept in a small open-address table, so that only those pages of a mapped file are read that hold this block's
    fragments.
    """
    depth, height, width = labels.shape
    zero = np.uint64(0)
    bits = 12
    known = np.zeros(1 << bits, np.uint64)
    values = np.zeros(1 << bits, segments.dtype)
    used = 0
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                here = labels[z, y, x]
                if here == 0:
                    out[z, y, x] = 0
                elif x > 0 and labels[z, y, x - 1] == here:
                    out[z, y, x] = out[z, y, x - 1]
                elif y > 0 and labels[z, y - 1, x] == here:
                    out[z, y, x] = out[z, y - 1, x]
                elif z > 0 and labels[z - 1, y, x] == here:
                    out[z, y, x] = out[z - 1, y, x]
                else:
                    label = np.uint64(here)
                    slot = _slot_of(known, label, bits)
                    if known[slot] == zero:
                        at = np.searchsorted(ids, label)
                        if at == len(ids) or ids[at] != label:
                            return (z * height + y) * width + x
                        known[slot] = label
                        values[slot] = segments[at]
                        used += 1
                    out[z, y, x] = values[slot]
                    if 2 * used > len(known):
                        bits += 2
                        more_known, more_values = np.zeros(1 << bits, np.uint64), np.zeros(1 << bits, segments.dtype)
                        for k in range(len(known)):
                            if known[k] != zero:
                                slot = _slot_of(more_known, known[k], bits)
                                more_known[slot], more_values[slot] = known[k], values[k]
                        known, values = more_known, more_values
    return -1


@kernel
def _slot_of(known, label, bits):
    """Where a label stands in a table of 2**bits (Fibonacci hashing, Knuth), or the free slot where it would."""
    slot = np.int64((label * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - bits))
    while known[slot] != label and known[slot] != np.uint64(0):
        slot = (slot + 1) & (len(known) - 1)
    return slot
