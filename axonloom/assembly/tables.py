"""Tables as Parquet files that are either whole or not there.

A table is written under a temporary name in the folder it belongs to, made durable, and only then given its name; the folder
is made durable last. A reader therefore never meets half a table under a good name, whenever the writer was killed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from axonloom.bad_input import BadInputError
from axonloom.durable import replacing

KIND = b"axonloom_kind"
VERSION = b"format_version"


class TableError(BadInputError):
    """A file that does not hold the table it should, said in one sentence."""


def stamped(table: pa.Table, kind: str, version: int) -> pa.Table:
    """The table with its kind and format version in the schema's metadata."""
    metadata = {**(table.schema.metadata or {}), KIND: kind.encode(), VERSION: str(version).encode()}
    return table.replace_schema_metadata(metadata)


def require_stamp(schema: pa.Schema, kind: str, version: int, path: Path) -> None:
    """Refuse a file of another kind, or of a newer format than ``version``.

    Raises
    ------
    TableError
    """
    metadata = schema.metadata or {}
    found = metadata.get(KIND, b"").decode()
    if found != kind:
        raise TableError(f"{path} holds {found or 'something that axonloom did not write'}, not {kind}")
    written = int(metadata[VERSION])
    if written > version:
        raise TableError(
            f"{path} has format version {written}, this axonloom reads up to {version}: use the newer axonloom that wrote it"
        )


def write_table(path: Path, table: pa.Table, kind: str, version: int, *, for_others: bool = False) -> None:
    """Write a table as Parquet (lz4), atomically; ``kind`` says what it holds, ``version`` its format.

    The bytes of ids and counts are stored by place, so that the high ones, which are alike, are packed away; nobody asks for
    the least and the most of a column. A table ``for_others`` is as any Parquet reader knows them.
    """
    ours: dict[str, Any] = {
        "compression": "lz4",
        "use_dictionary": False,
        "write_statistics": False,
        "column_encoding": dict.fromkeys(_integers(table.schema), "BYTE_STREAM_SPLIT"),
    }
    with replacing(Path(path)) as temporary:
        pq.write_table(
            stamped(table, kind, version),
            temporary,
            write_page_checksum=True,
            **({} if for_others else ours),
        )


def _integers(schema: pa.Schema) -> list[str]:
    """The columns of 64-bit integers, and of lists of them, by Parquet's names."""
    found = []
    for field in schema:
        if pa.types.is_integer(field.type) and field.type.bit_width == 64:
            found.append(field.name)
        elif pa.types.is_large_list(field.type) and field.type.value_type in (pa.uint64(), pa.int64()):
            found.append(f"{field.name}.list.element")
    return found


def read_table(path: Path, kind: str, version: int, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table that :func:`write_table` wrote.

    Raises
    ------
    TableError
        The file is missing, damaged, of another kind or of a newer format; names the file.
    """
    path = Path(path)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            require_stamp(file.schema_arrow, kind, version, path)
            return file.read(columns=None if columns is None else list(columns))
    except FileNotFoundError:
        raise TableError(f"{path} is not there, but should hold {kind}") from None
    except (pa.ArrowException, OSError) as error:
        raise TableError(
            f"{path} is damaged or cut short ({kind}): delete it and run its block again ({error})"
        ) from error
