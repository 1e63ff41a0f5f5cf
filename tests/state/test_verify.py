"""``verify`` finds every kind of damage that a ledger does not know of, and repairs by computing again."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from axonloom.assembly.segment_properties import properties_path
from axonloom.stages.apply import segments_path
from axonloom.stages.fragment import edges_path, faces_path
from axonloom.verify import repair, verify_stage
from axonloom.volumes import open_volume
from tests.flows.affinity_project import configure, segmentation
from tests.state.alone import chain_of, run_all, tree
from tests.state.command import axonloom

#: Damage -> whether readers would not notice.
KINDS = {
    "chunk gone": True,
    "chunk truncated": False,
    "chunk with flipped bits": False,
    "chunk of another block": True,
    "table gone": False,
    "table truncated": False,
    "layer chunk gone": True,
    "layer chunk truncated": False,
    "table of segments gone": False,
    "properties truncated": False,
    "properties of another layer": True,
}


@pytest.fixture(scope="module")
def finished(project, tmp_path_factory):
    config = configure(project, tmp_path_factory.mktemp("finished") / "work", (32, 32, 32))
    run_all(chain_of(config))
    return config, segmentation(config.with_suffix(""))


@pytest.fixture
def workspace(finished, project, tmp_path):
    """A copy of the finished workspace: times kept, so that nothing is stale."""
    config, _ = finished
    shutil.copytree(config.with_suffix(""), tmp_path / "work")
    return configure(project, tmp_path / "work", (32, 32, 32))


def damage(config, kind: str) -> tuple[str, int]:
    """Damage the output of one block; returns its stage and number."""
    chain = chain_of(config)
    fragments = chain.fragment.folder / "fragments.zarr" / "c"
    layer = sorted(path for path in (config.with_suffix("") / "segmentation").glob("*/*_*_*") if path.is_file())
    if kind.startswith("chunk"):
        chunk = fragments / "0" / "1" / "2"
        if kind == "chunk gone":
            chunk.unlink()
        elif kind == "chunk truncated":
            os.truncate(chunk, chunk.stat().st_size // 2)
        elif kind == "chunk with flipped bits":
            content = bytearray(chunk.read_bytes())
            content[len(content) // 2] ^= 0x55
            chunk.write_bytes(content)
        else:
            shutil.copyfile(fragments / "0" / "0" / "0", chunk)
        return "fragment", chain.fragment.grid.index((0, 1, 2))
    if kind == "table gone":
        faces_path(chain.fragment.folder, 7).unlink()
        return "fragment", 7
    if kind == "table truncated":
        path = edges_path(chain.join.folder, 9)
        os.truncate(path, path.stat().st_size - 5)
        return "join", 9
    if kind == "table of segments gone":
        segments_path(chain.apply.folder, 3).unlink()
        return "apply", 3
    properties = properties_path(config.with_suffix("") / "segmentation")
    if kind == "properties truncated":
        os.truncate(properties, properties.stat().st_size // 2)
        return "segments", 0
    if kind == "properties of another layer":
        properties.write_text(properties.read_text().replace("voxels", "voxel"))
        return "segments", 0
    name = "32-64_0-32_0-32"
    (path,) = [p for p in layer if p.name == name]
    if kind == "layer chunk gone":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size // 2)
    return "apply", chain.apply.grid.index((0, 0, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_found_and_repaired_with_what_was_made_from_it(workspace, finished, kind):
    stage, block = damage(workspace, kind)
    chain = chain_of(workspace)
    found = {plan.stage: [v.damage for v in verify_stage(plan) if v.damage] for plan in chain.stages()}
    assert {name: [d.block for d in damages] for name, damages in found.items() if damages} == {stage: [block]}
    (damaged,) = found[stage]
    assert damaged.silent == KINDS[kind]
    undone = repair(getattr(chain, stage), found[stage])
    again = {folder.parent.name: blocks for folder, blocks in undone.items()}
    assert block in again[stage]
    if not damaged.silent:
        assert again == {stage: [block]}
    elif stage == "fragment":
        # Its own faces, and those of its upper neighbours along x, y and z.
        assert again["join"] == [6, 7, 10, 18]
        assert again["agglomerate"] == again["pool"] == [0]
        assert again["apply"] == list(range(36))
        assert again["contingency"] == [block]
    elif stage == "apply":
        assert set(again) == {"apply", "segments", "pyramid"}
    before = {plan.fingerprint: plan.ledger.read() for plan in chain.stages()}
    run_all(chain_of(workspace))
    for plan in chain.stages():
        state = plan.ledger.read()
        assert not state.missing(range(len(plan.grid)))
        repeated = {b for b, n in state.started.items() if n > before[plan.fingerprint].started.get(b, 0)}
        expected = undone.get(plan.folder, [])
        assert repeated == set(expected), plan.stage
    assert not [v for plan in chain.stages() for v in verify_stage(plan) if v.damage]
    assert np.array_equal(segmentation(workspace.with_suffix("")), finished[1])


def test_what_is_good_is_called_good_and_nothing_is_touched(workspace):
    before = tree(workspace.parent)
    found = axonloom("verify", workspace, "--json")
    assert found.returncode == 0, found.stdout + found.stderr
    content = json.loads(found.stdout)
    assert [row["verified"] for row in content["stages"]] == [36, 36, 1, 1, 36, 8, 1, 1, 36]
    assert not any(row["damaged"] or row["without_checksum"] for row in content["stages"])
    assert tree(workspace.parent) == before


def test_the_command_names_blocks_and_repairs_when_told(workspace):
    _, block = damage(workspace, "chunk gone")
    found = axonloom("verify", workspace)
    assert found.returncode == 1
    assert f"block {block}: " in found.stdout
    assert "1 of its 1 chunks are not there" in found.stdout
    assert "--repair" in found.stdout
    found = axonloom("verify", workspace, "--repair", "--stage", "fragment")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "run again" in found.stdout
    row = json.loads(axonloom("status", workspace, "--json").stdout)[0]
    assert (row["done"], row["missing"], row["failed"]) == (35, 1, 0)
    assert axonloom("verify", workspace, "--stage", "fragmen").returncode == 2


def test_a_ledger_without_checksums_is_read_all_the_same(workspace):
    chain = chain_of(workspace)
    (path,) = chain.fragment.ledger.folder.glob("*.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.pop("voxels_crc32", None)
        line.pop("files_crc32", None)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    damage(workspace, "chunk truncated")
    verdicts = list(verify_stage(chain.fragment))
    assert not any(v.compared for v in verdicts)
    assert [v.block for v in verdicts if v.damage] == [chain.fragment.grid.index((0, 1, 2))]


def test_a_volume_that_is_gone_damages_all_its_blocks(workspace):
    chain = chain_of(workspace)
    shutil.rmtree(chain.fragment.folder / "fragments.zarr")
    verdicts = list(verify_stage(chain.fragment))
    assert len([v for v in verdicts if v.damage]) == 36
    repair(chain.fragment, [v.damage for v in verdicts if v.damage])
    run_all(chain)
    assert open_volume(str(chain.fragment.folder / "fragments.zarr")).read().any()
