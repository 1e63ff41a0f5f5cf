from __future__ import annotations

import os
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from axonloom.assembly.dendrogram import Dendrogram
from axonloom.assembly.edge_table import COLUMNS, FORMAT_VERSION, EdgeTable
from axonloom.assembly.id_map import IdMap, UnknownIdError
from axonloom.assembly.lookup_table import LookupTable
from axonloom.assembly.object_table import ObjectTable
from axonloom.assembly.tables import TableError, write_table
from axonloom.assembly.thresholds import ThresholdError, threshold_to_uint8


def column(*values: int) -> np.ndarray:
    return np.array(values, np.uint64)


def random_edges(rng: np.random.Generator, n: int, largest: int) -> EdgeTable:
    a, b = np.sort(rng.choice(np.array([3, 9, 10, largest - 1, largest], np.uint64), (2, n)), axis=0)
    low = [rng.integers(0, 2**40, n, dtype=np.uint64) for _ in range(4)]
    return EdgeTable(a, b, *low)


EXAMPLES = {
    "edges": random_edges(np.random.default_rng(0), 50, 2**63),
    "objects": ObjectTable(column(1, 2**63), column(5, 2**40)),
    "map": IdMap(column(1, 5, 2**63), column(1, 1, 5)),
    "dendrogram": Dendrogram(column(1), column(2), column(700), column(3), column(8), lowest=Fraction(1, 3)),
    "lookup": LookupTable(column(1, 5, 2**63), np.array([1, 2, 1], np.uint32), 2),
}


def fields(table: object) -> dict:
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(table).items()}


def reread(table, path: Path):
    return table.open(path) if isinstance(table, LookupTable) else table.read(path)


@pytest.mark.parametrize("name", EXAMPLES)
def test_round_trip_and_refusals(name, tmp_path):
    table = EXAMPLES[name]
    path = tmp_path / "folder" / "table"
    table.write(path)
    back = reread(table, path)
    assert fields(back) == fields(table)
    assert [v.dtype for v in vars(back).values() if isinstance(v, np.ndarray)] == [
        v.dtype for v in vars(table).values() if isinstance(v, np.ndarray)
    ]
    assert os.listdir(path.parent) == ["table"]

    whole = path.read_bytes()
    for part in (b"", whole[:5], whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(part)
        with pytest.raises(TableError, match=str(path)):
            reread(table, path)
    with pytest.raises(TableError, match="not there"):
        reread(table, tmp_path / "nothing")
    if not isinstance(table, LookupTable):
        write_table(path, pa.table({"a": [1]}), "something else", 1)
        with pytest.raises(TableError, match="something else"):
            reread(table, path)


def test_newer_format_is_refused_and_foreign_files_too(tmp_path):
    path = tmp_path / "edges.parquet"
    EXAMPLES["edges"].write(path)
    kind = pq.read_schema(path).metadata[b"axonloom_kind"].decode()
    write_table(path, pq.read_table(path), kind, FORMAT_VERSION + 1)
    with pytest.raises(TableError, match=f"version {FORMAT_VERSION + 1}"):
        EdgeTable.read(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(TableError, match="did not write"):
        EdgeTable.read(path)


def test_the_old_table_stays_when_writing_fails(tmp_path):
    path = tmp_path / "t"
    write_table(path, pa.table({"a": [1]}), "k", 1)
    before = path.read_bytes()
    with pytest.raises(pa.ArrowException):
        write_table(path, pa.table({"a": pa.nulls(1, pa.month_day_nano_interval())}), "k", 1)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["t"]


@pytest.mark.parametrize("largest", [2**31, 2**32 - 1, 2**32, 2**63])
def test_aggregation(largest):
    rng = np.random.default_rng(1)
    tables = [random_edges(rng, n, largest) for n in (0, 40, 1, 300)]
    wanted: dict[tuple[int, int], list[int]] = {}
    for t in tables:
        for a, b, s, n, k, best in zip(*(getattr(t, name).tolist() for name in COLUMNS), strict=True):
            if a != b:
                row = wanted.setdefault((a, b), [0, 0, 0, best])
                row[:] = [row[0] + s, row[1] + n, max(row[2], k), min(row[3], best)]
    found = EdgeTable.concatenate(tables).aggregated()
    rows = list(zip(*(getattr(found, name).tolist() for name in COLUMNS), strict=True))
    assert rows == [(*pair, *wanted[pair]) for pair in sorted(wanted)]
    parts = EdgeTable.concatenate([t.aggregated() for t in reversed(tables)]).aggregated()
    assert fields(parts) == fields(found)
    assert len(EdgeTable.concatenate([]).aggregated()) == 0


def test_relabelling_turns_edges_and_drops_those_within():
    edges = EdgeTable(
        column(1, 2, 5), column(5, 9, 9), column(10, 20, 30), column(1, 2, 3), column(7, 8, 9), column(4, 5, 6)
    )
    found = edges.relabelled(column(1, 2, 5, 9), column(8, 2, 2, 2))
    assert fields(found) == fields(EdgeTable(column(2), column(8), column(10), column(1), column(7), column(4)))
    with pytest.raises(UnknownIdError, match="9"):
        edges.relabelled(column(1, 2, 5), column(1, 2, 5))


def test_object_sizes_add_up():
    table = ObjectTable.concatenate([ObjectTable(column(5, 9), column(1, 2)), ObjectTable(column(1, 9), column(4, 8))])
    assert fields(table) == {"ids": [1, 5, 9], "voxels": [4, 1, 10]}
    assert len(ObjectTable.concatenate([])) == 0


@given(st.decimals(0, 1, places=6))
def test_threshold_on_the_stored_scale(threshold):
    found = threshold_to_uint8(threshold)
    assert [a for a in range(256) if Decimal(a) >= 255 * threshold] == list(range(found, 256))


def test_thresholds_are_decimals():
    assert threshold_to_uint8("0.2") == threshold_to_uint8(0.2) == 51
    assert threshold_to_uint8(Decimal("0.2000000000000000000001")) == 52
    assert (threshold_to_uint8("0"), threshold_to_uint8(1)) == (0, 255)
    for wrong in ("1.01", "-1", "nan", "", "1/2"):
        with pytest.raises(ThresholdError):
            threshold_to_uint8(wrong)
