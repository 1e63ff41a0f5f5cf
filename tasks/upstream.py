"""Stages that another job must have finished."""

from __future__ import annotations

from axonloom.stage import StageError, StagePlan


def require_done(plan: StagePlan, job: str) -> None:
    """Raise StageError, naming the job to run, unless all blocks of a stage are done."""
    missing = plan.ledger.read().missing(range(len(plan.grid)))
    if missing:
        raise StageError(
            f"the {plan.stage} stage of this configuration is not done ({len(missing)} of {len(plan.grid)} blocks are "
            f"missing in {plan.folder}): run `axonloom {job}` first"
        )
