"""``plan`` says what would run, and touches nothing."""

from __future__ import annotations

import json

import pytest

from axonloom.config.compute import ComputeSettings
from axonloom.forecast import forecast
from axonloom.free_disk import free_bytes, readable, require_room
from axonloom.measured import block_time
from axonloom.runner import StoppedError
from axonloom.stages.registry import open_stage
from tasks.batches import MOST_BATCHES, batches, cut_of, fix_cut
from tests.flows.affinity_project import configure
from tests.state.alone import chain_of, run, tree
from tests.state.command import axonloom


@pytest.fixture
def config(project, tmp_path):
    return configure(project, tmp_path / "work", (32, 32, 32))


def test_nothing_is_touched_and_all_is_said(config, project):
    before = tree(config.parent), tree(project)
    content = json.loads(axonloom("plan", config, "--json").stdout)
    said = axonloom("plan", config)
    assert said.returncode == 0
    assert "merging: the graph of the whole volume at once, for the volume has" in said.stdout
    assert "parts on 2 levels" in axonloom("plan", config, "--set", "merge.part=0.3").stdout
    assert (tree(config.parent), tree(project)) == before
    assert not config.with_suffix("").exists()
    first = content["stages"][0]
    assert (first["stage"], first["blocks"], first["to_run"]) == ("fragment", 36, 36)
    assert first["batches"] == first["batches_to_run"] == 16
    assert first["seconds"] is None
    assert content["stages_of_unknown_time"][0] == "fragment"
    # Read boxes are cores with a halo of 4 voxels a side: three bytes a voxel.
    assert first["bytes_read"] > 36 * 32**3 * 3
    assert content["bytes_written"] == sum(row["bytes_written"] for row in content["stages"]) > 0
    assert content["free"] > 0
    assert content["memory_per_worker"] > 3e8


def test_what_is_done_is_not_planned_again(config):
    chain = chain_of(config)
    fix_cut(chain.fragment)
    run(chain.fragment, range(30))
    found = json.loads(axonloom("plan", config, "--json").stdout)["stages"][0]
    assert found["to_run"] == 6
    assert found["batches_to_run"] == sum(1 for b in batches(chain.fragment) if max(b.blocks) >= 30) == 3
    run(chain.fragment)
    assert "fragment  " in axonloom("plan", config).stdout
    assert json.loads(axonloom("plan", config, "--json").stdout)["stages"][0]["seconds"] == 0


def test_expected_time_is_from_what_was_measured_with_other_parameters(config):
    chain = chain_of(config)
    assert block_time(chain.fragment) is None
    other = chain_of(config, "segment.high=0.9", "blocks.shape=[64,64,64]").fragment
    other.save()
    with other.ledger.writer() as lines:
        for block in range(8):
            lines.done(block, 24.0)
    # 65 x 70 x 97 voxels in 8 blocks of 24 s, or in 36 blocks.
    expected = 24.0 * 8 / 36
    measured = block_time(chain.fragment)
    assert measured is not None
    assert measured.seconds == pytest.approx(expected)
    assert measured.measured_on == other.folder.name
    ahead = forecast(chain.fragment, ComputeSettings(workers=4))
    assert ahead.seconds == pytest.approx(expected * 36 / 4)
    # Its own measurements count before those of others.
    run(chain.fragment, range(3))
    own = block_time(chain.fragment)
    assert own is not None
    assert own.measured_on == chain.fragment.folder.name
    assert own.seconds < 5


@pytest.mark.parametrize(("on", "seconds"), [("local", 20.0), ("dask", 40.0), ("slurm", 40.0)])
def test_batches_are_cut_from_measured_time_and_stay(config, on, seconds):
    other = chain_of(config, "segment.high=0.9").fragment
    other.save()
    with other.ledger.writer() as lines:
        lines.done(0, 15.0)
    plan = chain_of(config).fragment
    cut = cut_of(plan, on)
    assert cut.basis == other.folder.name
    # 36 blocks of 15 s: a batch is 20 or 40 s of work, in a multiple of 16 batches, never less than a block each.
    assert cut.count == min(36, -(-int(36 * 15.0 / seconds) // 16) * 16)
    assert not plan.folder.exists()
    plan.save()
    assert fix_cut(plan, on) == cut
    with plan.ledger.writer() as lines:
        lines.done(0, 500.0)
    assert cut_of(plan, "local") == fix_cut(plan, "dask") == cut


@pytest.mark.parametrize(("block", "count"), [(0.001, 2), (0.025, 4), (0.1, 16)])
def test_a_stage_that_is_known_to_be_short_has_fewer_batches(config, block, count):
    other = chain_of(config, "segment.high=0.9").fragment
    other.save()
    n = len(other.grid)
    with other.ledger.writer() as lines:
        for index in range(n // 2):
            lines.done(index, block)
        assert cut_of(chain_of(config).fragment).count == 16, (
            "a part, which may have little to do, was taken for the whole"
        )
        for index in range(n // 2, n):
            lines.done(index, block)
    assert cut_of(chain_of(config).fragment).count == count


def test_a_short_stage_whose_blocks_are_alike_need_not_be_measured(config):
    chain = chain_of(config)
    assert cut_of(chain.join).count == 2
    assert cut_of(chain.fragment).count == 16


def test_there_are_never_more_batches_than_the_server_bears(config):
    other = chain_of(config, "segment.high=0.9").fragment
    other.save()
    with other.ledger.writer() as lines:
        lines.done(0, 1e6)
    found = batches(chain_of(config, "blocks.shape=[4,4,4]", "volumes.segmentation.chunk=[4,4,4]").fragment)
    assert len(found) == MOST_BATCHES
    sizes = {len(batch.blocks) for batch in found}
    assert max(sizes) - min(sizes) <= 1


def test_a_stage_that_does_not_fit_its_disk_is_refused_in_one_sentence(config, monkeypatch):
    plan = chain_of(config).fragment
    plan.save()
    stage = open_stage(plan.folder)
    require_room(plan, stage, 36)
    monkeypatch.setattr(type(stage), "bytes_written", 1e9)
    with pytest.raises(StoppedError, match=r"expected to write 441 TB to .*, where .* are free: make room") as caught:
        require_room(plan, stage, 36)
    assert "\n" not in str(caught.value)
    assert free_bytes(config.parent / "not" / "yet" / "there") == free_bytes(config.parent)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_940, "99.9 kB"), (99_960, "100 kB"), (999_600, "1.0 MB"),
     (1.5e9, "1.5 GB"), (2e18, "2000 PB")],
)  # fmt: skip
def test_sizes_are_readable(size, text):
    assert readable(size) == text
