"""Which flow runs are at work on a workspace, as far as a Prefect server knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import StateType

#: States from which a run may still do something.
ACTIVE = (
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CANCELLING,
)
#: Runs that the server gives at once, and at most in all.
PAGE, MOST = 200, 2000


@dataclass(frozen=True)
class ActiveRun:
    """A flow run that waits or runs.

    Attributes
    ----------
    id, name, flow : of the run
    state : as the server calls it: Scheduled, Late, Pending, Running, Paused, Cancelling, AwaitingRetry
    since : when it entered that state
    deployed : whether a worker runs it, so that it lives without the command line
    url : where to watch it
    """

    id: str
    name: str
    flow: str
    state: str
    since: datetime | None
    deployed: bool
    url: str


def active_runs(workspace: Path, api: str | None = None) -> list[ActiveRun]:
    """The runs of a workspace that wait or run, oldest first; subflows are left to their parents.

    Parameters
    ----------
    workspace : as in a configuration
    api : URL of the server; default: the one that is configured

    Raises
    ------
    httpx.HTTPError
        The server does not answer.
    """
    wanted = workspace.absolute()
    url = api or PREFECT_API_URL.value()
    if url is None:
        return []
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        found = [
            run for run in _read(client) if _workspace_of(run.parameters) == wanted and run.parent_task_run_id is None
        ]
        flows = {flow_id: client.read_flow(flow_id).name for flow_id in {run.flow_id for run in found}}
    pages = url.removesuffix("/api")
    return [
        ActiveRun(
            id=str(run.id),
            name=run.name,
            flow=flows[run.flow_id],
            state=run.state.name or run.state.type.value.title() if run.state is not None else "unknown",
            since=run.state.timestamp if run.state is not None else None,
            deployed=run.deployment_id is not None,
            url=f"{pages}/runs/flow-run/{run.id}",
        )
        for run in found
    ]


def _read(client: Any) -> list[FlowRun]:
    chosen = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(ACTIVE))))
    runs: list[FlowRun] = []
    while len(runs) < MOST:
        page = client.read_flow_runs(
            flow_run_filter=chosen, sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=PAGE, offset=len(runs)
        )
        runs += page
        if len(page) < PAGE:
            break
    return runs


def _workspace_of(parameters: Mapping[str, Any]) -> Path | None:
    """The workspace in a flow run's parameters; the server has no filter for it. Relative ones belong to a worker's folder."""
    configuration = parameters.get("configuration")
    given = configuration.get("workspace") if isinstance(configuration, Mapping) else None
    return Path(given) if isinstance(given, str) and Path(given).is_absolute() else None
