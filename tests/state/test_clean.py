"""``clean`` deletes what it says, and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from axonloom.lease import claim, require_claim
from axonloom.runner import LeaseLostError
from tests.flows.affinity_project import configure
from tests.state.alone import chain_of, run, run_all, tree
from tests.state.command import axonloom
from tests.state.test_status import BEGIN_AND_WAIT

HOLD = """
import sys, time
from pathlib import Path
from axonloom.lease import claim
lease = claim(Path(sys.argv[1]), "theirs")
print(lease.claim_id, flush=True)
time.sleep(60)
"""


@pytest.fixture(scope="module")
def finished(project, tmp_path_factory):
    config = configure(project, tmp_path_factory.mktemp("finished") / "work", (64, 64, 128))
    run_all(chain_of(config))
    cache = config.with_suffix("") / "cache"
    cache.mkdir()
    for plan in chain_of(config).stages():
        (cache / f"{plan.stage}-{plan.fingerprint}-0-1").write_bytes(b"result")
    return config


@pytest.fixture
def config(finished, project, tmp_path):
    """A copy of a finished workspace."""
    shutil.copytree(finished.with_suffix(""), tmp_path / "work")
    return configure(project, tmp_path / "work", (64, 64, 128))


def folders(config) -> set[str]:
    work = config.with_suffix("")
    return {f"{p.parent.name}/{p.name}" for p in work.glob("*/*") if p.is_dir() and (p / "stage.json").exists()}


def test_it_says_what_it_would_delete_and_asks(config):
    before = tree(config.parent)
    found = axonloom("clean", config, "--stage", "join")
    assert found.returncode == 2
    assert "join" in found.stdout
    assert "kB" in found.stdout
    assert "--yes" in found.stderr
    content = json.loads(axonloom("clean", config, "--stage", "join", "--json").stdout)
    assert content["deleted"] is False
    assert content["bytes"] == sum(item["bytes"] for item in content["items"]) > 0
    assert tree(config.parent) == before


def test_a_stage_goes_with_its_cached_results_and_is_computed_again(config):
    chain = chain_of(config)
    before = folders(config)
    assert axonloom("clean", config, "--stage", "join", "--yes").returncode == 0
    assert before - folders(config) == {f"join/{chain.join.folder.name}"}
    left = {path.name.split("-")[0] for path in (config.with_suffix("") / "cache").iterdir()}
    assert "join" not in left
    assert "fragment" in left
    run(chain_of(config).join)
    assert folders(config) == before


def test_results_of_other_parameters_and_caches_go_apart(config):
    other = chain_of(config, "merge.threshold=0.7")
    run(other.pool)
    assert axonloom("clean", config, "--stale", "--yes").returncode == 0
    assert folders(config) == {f"{p.stage}/{p.folder.name}" for p in chain_of(config).stages()}
    cache = config.with_suffix("") / "cache"
    assert list(cache.iterdir())
    (cache / "mine.txt").touch()
    assert axonloom("clean", config, "--cache", "--yes").returncode == 0
    assert [path.name for path in cache.iterdir()] == ["mine.txt"]
    assert "nothing to delete" in axonloom("clean", config, "--stale", "--cache", "--yes").stdout
    assert json.loads(axonloom("status", config, "--json").stdout)[0]["state"] == "done"


def test_earlier_results_that_are_read_now_are_inputs(config, project, tmp_path):
    """Fragments of one configuration as the labels of another, in one workspace."""
    volume = chain_of(config).fragment.folder / "fragments.zarr"
    other = configure(
        project, tmp_path / "work", (32, 64, 128), volumes={"affinities": {"path": str(project / "affinities.zarr")},
        "labels": {"path": str(volume)}},
    )  # fmt: skip
    assert axonloom("clean", other, "--stale", "--yes").returncode == 0
    assert volume.exists()
    assert not chain_of(config).join.folder.exists()


def test_a_layer_that_is_a_link_frees_its_disk(config, tmp_path):
    layer = config.with_suffix("") / "segmentation"
    elsewhere = tmp_path / "disk" / "seg"
    elsewhere.parent.mkdir()
    layer.rename(elsewhere)
    layer.symlink_to(elsewhere)
    found = axonloom("clean", config, "--layer", "--yes")
    assert found.returncode == 0, found.stderr
    assert list(elsewhere.parent.iterdir()) == []
    for plan in chain_of(config).writing:
        run(plan)
    assert (elsewhere / "info").exists()
    assert layer.is_symlink()


def test_room_is_looked_for_where_the_layer_lies(config):
    from axonloom.free_disk import output_folder

    chain = chain_of(config)
    assert output_folder(chain.apply) == config.with_suffix("") / "segmentation"
    assert output_folder(chain.fragment) == chain.fragment.folder


def test_the_layer_goes_only_when_it_is_named_and_inputs_never(config, project):
    inputs = tree(project)
    for stage in ("fragment", "join", "agglomerate", "pool", "apply", "segments", "pyramid", "contingency"):
        assert axonloom("clean", config, "--stage", stage, "--yes").returncode == 0
    layer = config.with_suffix("") / "segmentation"
    assert (layer / "info").exists()
    assert axonloom("clean", config, "--layer", "--yes").returncode == 0
    assert not layer.exists()
    assert tree(project) == inputs


def test_a_layer_that_is_not_ours_is_refused(config):
    layer = config.with_suffix("") / "segmentation"
    (layer / "axonloom.json").unlink()
    found = axonloom("clean", config, "--layer", "--yes")
    assert found.returncode == 2
    assert "was not made from this workspace" in found.stderr
    assert (layer / "info").exists()


def test_what_a_living_run_holds_stays(config):
    plan = chain_of(config).fragment
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(plan.lease)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        # Whoever holds a stage may be reading the one before it.
        for what in (("--stage", "fragment"), ("--cache",), ("--stage", "join"), ("--stage", "apply")):
            found = axonloom("clean", config, *what, "--yes")
            assert found.returncode == 3, found.stdout + found.stderr
            assert f"process {process.pid}" in found.stderr
        assert plan.folder.exists()
    finally:
        process.kill()
        process.wait()
    assert axonloom("clean", config, "--stage", "fragment", "--yes").returncode == 0


def test_what_a_living_worker_computes_stays(config):
    plan = chain_of(config).fragment
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN_AND_WAIT, str(plan.ledger.folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        found = axonloom("clean", config, "--stage", "fragment", "--yes")
        assert found.returncode == 2
        assert "is being computed now (1 blocks)" in found.stderr
        assert plan.folder.exists()
    finally:
        process.kill()
        process.wait()


def test_a_broken_lease_stops_its_holder_and_lets_the_next_run_in(config):
    plan = chain_of(config).fragment
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(plan.lease)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        theirs = process.stdout.readline().strip()
        require_claim(plan.lease, theirs)
        found = axonloom("clean", config, "--stage", "fragment", "--break-lease")
        assert found.returncode == 0, found.stderr
        with pytest.raises(LeaseLostError):
            require_claim(plan.lease, theirs)
        claim(plan.lease, "mine").release()
        assert plan.folder.exists()
    finally:
        process.kill()
        process.wait()


def test_an_interrupted_deletion_is_no_stage_and_is_ended_by_the_next(config):
    plan = chain_of(config).join
    half = plan.folder.with_name(f"{plan.folder.name}.0123456789ab.deleted")
    plan.folder.rename(half)
    (half / "ledger").rename(half / "gone")
    assert json.loads(axonloom("status", config, "--json").stdout)[1]["state"] == "missing"
    assert axonloom("clean", config, "--stale", "--yes").returncode == 0
    assert not half.exists()


def test_without_a_flag_it_lists_what_each_would_delete(config):
    run(chain_of(config, "merge.threshold=0.7").pool)
    before = tree(config.parent)
    sizes = json.loads(axonloom("clean", config, "--json").stdout)["choices"]
    assert sizes["--stale"] > 0
    assert sizes["--stage fragment"] > sizes["--stage pool"] > 0
    assert sizes["--layer"] > 0
    assert "--stale" in axonloom("clean", config).stdout
    assert tree(config.parent) == before


def test_a_stage_that_is_none_is_a_sentence(config):
    found = axonloom("clean", config, "--stage", "segment", "--yes")
    assert found.returncode == 2
    assert "it has fragment, join" in found.stderr
