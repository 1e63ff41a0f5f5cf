"""The table of segments, and what of it lies in the layer for Neuroglancer."""

from __future__ import annotations

import json

import numpy as np
from cloudvolume import CloudVolume

from axonloom.assembly import gathering
from axonloom.assembly.segment_table import SegmentTable
from axonloom.stages import segments as stage
from axonloom.stages.layer_stage import layer_of
from axonloom.stages.segments import TABLE
from axonloom.volumes import open_volume
from tests.flows.affinity_project import configure
from tests.state.alone import chain_of, run, run_all


def test_sizes_and_boxes_are_those_of_the_voxels_for_any_blocking(project, tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "LEAST", 5)
    tables = []
    for name, shape in (("small", (32, 32, 32)), ("large", (96, 96, 128))):
        chain = chain_of(configure(project, tmp_path / name, shape))
        run_all(chain)
        tables.append(SegmentTable.read(chain.segments.folder / TABLE))
    layer = open_volume(chain.layer)
    labels = layer.read()
    for table in tables:
        ids, voxels = np.unique(labels[labels != 0], return_counts=True)
        assert np.array_equal(table.ids, ids)
        assert np.array_equal(table.voxels, voxels)
        for k in (0, len(ids) // 2, len(ids) - 1):
            places = np.argwhere(labels == ids[k])
            assert table.start[k].tolist() == places.min(0).tolist()
            assert table.stop[k].tolist() == (places.max(0) + 1).tolist()

    folder = layer_of(chain.apply).folder
    info = json.loads((folder / "info").read_text())
    assert info["segment_properties"] == "segment_properties"
    assert len(info["scales"]) == 1 + len(chain.pyramid)
    listed = json.loads((folder / "segment_properties" / "info").read_text())
    assert listed["@type"] == "neuroglancer_segment_properties"
    columns = {p["id"]: p["values"] for p in listed["inline"]["properties"]}
    assert listed["inline"]["ids"] == [str(i) for i in ids]
    assert columns["voxels"] == voxels.tolist()
    assert columns["start_x"] == (table.start[:, 2] + layer.offset[2]).tolist()
    assert columns["stop_z"] == (table.stop[:, 0] + layer.offset[0]).tolist()
    assert {p["data_type"] for p in listed["inline"]["properties"]} == {"uint32"}
    # Others still read the layer.
    assert np.array_equal(np.asarray(CloudVolume(f"file://{folder}", progress=False)[:, :, :])[..., 0].T, labels)


def test_only_the_largest_are_listed_and_another_run_changes_nothing(project, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "LISTED", 3)
    chain = chain_of(configure(project, tmp_path / "work", (96, 96, 128)))
    run_all(chain)
    table = SegmentTable.read(chain.segments.folder / TABLE)
    assert len(table) > 3
    folder = layer_of(chain.apply).folder
    listed = json.loads((folder / "segment_properties" / "info").read_text())["inline"]
    largest = np.sort(table.ids[np.argsort(-table.voxels.astype(np.int64), kind="stable")[:3]])
    assert listed["ids"] == [str(i) for i in largest]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    chain.segments.ledger.undo({0: "again"})
    run(chain.segments)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
