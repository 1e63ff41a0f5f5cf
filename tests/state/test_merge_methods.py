"""Multicut and rules for dust as stages: any blocking, what is repeated, what is scored, and what the commands say."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from axonloom.chain import Chain
from axonloom.config.load import ConfigurationError, load_configuration
from axonloom.evaluation.report import evaluate_volumes
from axonloom.stages.layer_stage import current_state
from axonloom.stages.scores import score_chain
from axonloom.volumes import open_volume
from tests.flows.affinity_project import SHAPE, configure, segmentation
from tests.state.alone import chain_of, run_all
from tests.state.command import axonloom

MULTICUT = {"method": "multicut", "multicut": {"beta": "0.3"}}
DUST = {"dust": 400, "dust_lowest": "0.05", "discard": 60}
MERGES = {
    "dust": {"threshold": "0.8", **DUST},
    "quantile and dust": {"threshold": "0.7", "score": "aff75_his32", **DUST},
    "multicut": MULTICUT,
    "multicut and dust": {**MULTICUT, **DUST},
}


@pytest.fixture(scope="module")
def whole(project, tmp_path_factory):
    """Name in MERGES -> the chain as one block, run; each in a workspace of its own."""
    made: dict[str, Chain] = {}

    def make(name: str) -> Chain:
        if name not in made:
            workspace = tmp_path_factory.mktemp("whole") / "work"
            made[name] = chain_of(configure(project, workspace, SHAPE, merge=MERGES[name]))
            run_all(made[name])
        return made[name]

    return make


def status(config: Path, *overrides: str) -> dict[str, Any]:
    """What ``axonloom status --json`` says, by stage."""
    words = [word for override in overrides for word in ("--set", override)]
    return {row["stage"]: row for row in json.loads(axonloom("status", config, *words, "--json").stdout)}


@pytest.mark.parametrize("name", MERGES)
def test_the_segmentation_is_the_same_for_every_blocking(whole, project, tmp_path, name):
    expected = segmentation(whole(name).workspace)
    chain = chain_of(configure(project, tmp_path / "work", (32, 32, 32), merge={**MERGES[name], "part": "0.1"}))
    run_all(chain)
    assert np.array_equal(segmentation(chain.workspace), expected)
    assert 10 < expected.max() < 500
    if "dust" in name:
        ids, voxels = np.unique(expected[expected > 0], return_counts=True)
        assert ids.tolist() == list(range(1, len(ids) + 1))
        assert voxels.min() >= 60


@pytest.mark.parametrize("name", MERGES)
def test_the_scores_are_those_of_the_written_volume(whole, project, name):
    chain = whole(name)
    found = score_chain(chain)
    direct = evaluate_volumes(open_volume(chain.layer), open_volume(str(project / "labels.zarr")))
    assert found.segmentation.voi_split == pytest.approx(direct.voi_split, abs=1e-12)
    assert found.segmentation.voi_merge == pytest.approx(direct.voi_merge, abs=1e-12)
    assert found.segmentation.segments == direct.segments
    assert found.segmentation.voxels_predicted_zero == direct.voxels_predicted_zero
    if "threshold" in MERGES[name]:
        assert found.at[Decimal(MERGES[name]["threshold"])] == found.segmentation
        assert found.as_dict()["threshold"] == MERGES[name]["threshold"]
    else:
        assert found.at == {}
        assert found.as_dict()["method"] == "multicut"
        assert not {"threshold", "best_threshold", "best_voi"} & set(found.as_dict())


def test_other_thresholds_are_scored_as_they_would_be_written(whole, project):
    """With another threshold asked for, the written volume has the score that was foretold."""
    chain = whole("dust")
    foretold = score_chain(chain).at[Decimal("0.7")]
    config = chain.workspace.with_suffix(".yaml")
    before = segmentation(chain.workspace)
    other = chain_of(config, "merge.threshold=0.7")
    run_all(other)
    direct = evaluate_volumes(open_volume(other.layer), open_volume(str(project / "labels.zarr")))
    assert foretold.segments == direct.segments
    assert foretold.voi == pytest.approx(direct.voi, abs=1e-12)
    run_all(chain)
    assert np.array_equal(segmentation(chain.workspace), before)


def test_rules_for_dust_repeat_pool_and_apply_only(whole):
    config = whole("dust").workspace.with_suffix(".yaml")
    old = chain_of(config)
    new = chain_of(config, "merge.dust=0", "merge.discard=7")
    stale = {plan.stage for plan in old.stages()} - {"pool", "apply", "segments", "pyramid"}
    for one, other in zip(old.stages(), new.stages(), strict=True):
        assert (one.fingerprint == other.fingerprint) == (one.stage in stale)
    rows = status(config, "merge.dust=5")
    assert "merge.dust was 400, is 5" in rows["pool"]["stale"]["differs"]


def test_a_quantile_repeats_the_fragments_and_another_one_only_the_merging(whole):
    chain = whole("quantile and dust")
    config = chain.workspace.with_suffix(".yaml")
    other = chain_of(config, "merge.score=aff50_his32")
    assert [plan.fingerprint for plan in other.segmenting] == [plan.fingerprint for plan in chain.segmenting]
    assert (
        "merge.score was aff75_his32, is aff50_his32"
        in status(config, "merge.score=aff50_his32")["agglomerate"]["stale"]["differs"]
    )
    differs = status(config, "merge.score=mean")["fragment"]["stale"]["differs"]
    assert "histograms (of merge.score) was True, is not set" in differs


def test_without_rules_a_plan_is_what_it_was_before_there_were_any(project, tmp_path):
    chain = chain_of(configure(project, tmp_path / "work", (32, 32, 32)))
    assert chain.pool.parameters == {"threshold": "0.6"}
    assert set(chain.pool.inputs) == {"fragments", "merged"}
    same = chain_of(
        tmp_path / "work.yaml", "merge.dust=1", "merge.dust_lowest=0.3", "merge.discard=1", "merge.multicut.beta=0.7"
    )
    assert same.pool.fingerprint == chain.pool.fingerprint


def test_a_multicut_knows_no_threshold_and_another_beta_repeats_it(whole):
    config = whole("multicut").workspace.with_suffix(".yaml")
    old = chain_of(config)
    assert [plan.stage for plan in old.stages()] == [
        "fragment", "join", "graph", "multicut", "pool", "apply", "pyramid", "pyramid", "segments", "contingency",
    ]  # fmt: skip
    assert "heuristic" in old.multicut.parameters["method"]
    same = chain_of(config, "merge.threshold=0.9", "merge.lowest=0.4")
    assert [plan.fingerprint for plan in same.stages()] == [plan.fingerprint for plan in old.stages()]
    other = chain_of(config, "merge.multicut.beta=0.4")
    assert other.graph.fingerprint == old.graph.fingerprint
    assert other.multicut.fingerprint != old.multicut.fingerprint
    rows = status(config, "merge.multicut.beta=0.4")
    assert "merge.multicut.beta was 0.3, is 0.4" in rows["multicut"]["stale"]["differs"]


def test_plan_status_and_verify_know_a_multicut(whole):
    chain = whole("multicut and dust")
    config = chain.workspace.with_suffix(".yaml")
    assert all(len(current_state(plan).done) == len(plan.grid) for plan in chain.stages())
    planned = json.loads(axonloom("plan", config, "--json").stdout)["stages"]
    assert "multicut" in [row["stage"] for row in planned]
    assert all(row["to_run"] == 0 for row in planned)
    assert axonloom("verify", config).returncode == 0
    table = chain.multicut.folder / "partition.parquet"
    content = table.read_bytes()
    table.write_bytes(content[: len(content) // 2])
    try:
        said = axonloom("verify", config)
        assert said.returncode == 1
        assert "multicut" in said.stdout
    finally:
        table.write_bytes(content)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["merge.dust=9", "merge.threshold=0.1"], r"merge.dust has no effect .* lower merge.dust_lowest"),
        (["merge.multicut.beta=1"], "merge.multicut.beta"),
        (["merge.method=gaec"], "agglomerate.*multicut"),
        (["merge.dust=-1"], "merge.dust"),
    ],
)
def test_what_cannot_be_is_refused(project, tmp_path, overrides, words):
    config = configure(project, tmp_path / "work", (32, 32, 32))
    with pytest.raises(ConfigurationError, match=words):
        load_configuration(config, overrides)


def test_a_multicut_is_not_held_to_thresholds(project, tmp_path):
    config = configure(project, tmp_path / "work", (32, 32, 32))
    load_configuration(
        config, ["merge.method=multicut", "merge.threshold=0.01", "merge.dust=9", "merge.dust_lowest=0.9"]
    )
