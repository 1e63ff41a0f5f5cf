"""The segmentation against ground truth, at every threshold."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from axonloom.stages.layer_stage import current_state
from axonloom.stages.scores import score_chain
from tasks.job import as_job
from tasks.run_stage import run_stage
from tasks.scores import show_scores
from tasks.upstream import require_done
from tasks.workers import Workers


@flow(name="evaluate", flow_run_name="evaluate {configuration.workspace.name}")
@as_job
def evaluate(configuration: Configuration) -> dict[str, Any]:
    """Count fragments against labels block by block; from the counts, score fragments, segmentation, and every threshold."""
    chain = Chain(configuration)
    require_done(chain.pool)
    with Workers(configuration.compute) as workers:
        run_stage(chain.contingency, workers, configuration.failures)
    scores = score_chain(chain)
    show_scores(chain, scores)
    found = scores.as_dict()
    if len(current_state(chain.apply).done) < len(chain.apply.grid):
        found["layer"] = (
            f"{chain.layer} holds another segmentation than the one scored, or none: `axonloom apply` with these settings writes it"
        )
    return found
