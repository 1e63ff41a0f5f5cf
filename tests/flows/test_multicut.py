"""The whole product with a multicut in the place of agglomeration, through a real server."""

from __future__ import annotations

import pytest

from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from axonloom.stages.layer_stage import current_state
from tests.flows.affinity_project import configure, make_project, segmentation

pytestmark = pytest.mark.flow


def test_reconstruct_merges_by_multicut_and_scores_the_one_segmentation(prefect_api, tmp_path):
    from flows.reconstruct import reconstruct

    project = make_project(tmp_path)
    config = load_configuration(
        configure(
            project,
            tmp_path / "work",
            (64, 64, 64),
            merge={"method": "multicut", "multicut": {"beta": "0.4"}, "dust": 100},
        )
    )
    results = reconstruct(config)
    assert "heuristic" in results["merge.threshold"]
    assert results["method"] == "multicut"
    assert 0 < results["voi"] < results["fragments_voi_split"]
    assert "best_threshold" not in results
    assert segmentation(tmp_path / "work").max() > 10
    stages = {plan.stage: current_state(plan) for plan in Chain(config).stages()}
    assert "agglomerate" not in stages
    assert all(state.done for state in stages.values())
    assert not (tmp_path / "work" / "agglomerate").exists()

    # Scored anew at a threshold that nothing has written: the scores say so.
    from flows.evaluate import evaluate
    from flows.pool import pool

    assert "layer" not in results
    other = load_configuration(tmp_path / "work.yaml", ["merge.method=agglomerate"])
    pool(other)
    assert "holds another segmentation" in evaluate(other)["layer"]
