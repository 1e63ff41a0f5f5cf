"""The state of all stages, as an artifact of the run that goes through them: those of each stage hang on its subflow."""

from __future__ import annotations

from prefect.artifacts import create_table_artifact

from axonloom.chain import Chain
from axonloom.stage_status import stage_status
from axonloom.workspace import workspace_id
from tasks.sending import send


def show_overview(chain: Chain) -> None:
    """A row a stage: what is done, running, failed and missing now."""
    rows = []
    for plan in chain.stages():
        status = stage_status(plan)
        rows.append(
            {
                "stage": plan.title,
                "state": status.verdict,
                "blocks": status.total,
                "done": status.done,
                "failed": len(status.failed),
                "fingerprint": plan.fingerprint[:16],
            }
        )
    send(
        create_table_artifact,
        rows,
        key=f"axonloom-{workspace_id(chain.workspace)[:8]}-stages",
        description=f"All stages of {chain.workspace.name}",
    )
