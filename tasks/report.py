"""The page about a whole run, written where the run ends."""

from __future__ import annotations

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from axonloom.bad_input import BadInputError
from axonloom.chain import Chain
from axonloom.report.page import write_report
from axonloom.workspace import workspace_id
from tasks.sending import send


def leave_report(chain: Chain) -> dict[str, str]:
    """Write it into the workspace, and say where (``report``: its path); one that cannot be made costs a warning, never the run."""
    try:
        path = write_report(chain)
    except (BadInputError, OSError) as error:
        get_run_logger().warning("no report: %s", error)
        return {}
    send(
        create_markdown_artifact,
        f"The whole run on one page, pictures, scores, times and settings: `{path.absolute()}`",
        key=f"axonloom-{workspace_id(chain.workspace)[:8]}-report",
        description=f"Report of {chain.workspace.name}",
    )
    return {"report": str(path.absolute())}
