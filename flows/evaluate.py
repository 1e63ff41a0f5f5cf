"""The segmentation against ground truth, at every threshold."""

from __future__ import annotations

from typing import Any

from prefect import flow

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from tasks.run_stage import run_stage
from tasks.scores import score, show_scores
from tasks.upstream import require_done
from tasks.workers import Workers


@flow(name="evaluate", flow_run_name="evaluate {configuration.workspace.name}")
def evaluate(configuration: Configuration) -> dict[str, Any]:
    """Count fragments against labels block by block; from the counts, score fragments, segmentation, and every threshold."""
    chain = Chain(configuration)
    require_done(chain.pool)
    with Workers(configuration.compute) as workers:
        run_stage(chain.contingency, workers)
    scores = score(chain)
    show_scores(chain, scores)
    return scores.as_dict()
