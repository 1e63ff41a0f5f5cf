"""Which flow runs are at work on a workspace, as far as a Prefect server knows.

Asked over plain HTTP: importing Prefect takes longer than all else that ``axonloom status`` does.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

#: Types of the states from which a run may still do something.
ACTIVE = ("SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING")
#: Runs that the server gives at once, and at most in all; seconds that it may take.
PAGE, MOST, PATIENCE = 200, 2000, 5.0


@dataclass(frozen=True)
class ActiveRun:
    """A flow run that waits or runs.

    Attributes
    ----------
    id, name, flow : of the run
    state : as the server calls it: Scheduled, Late, Pending, Running, Paused, Cancelling, AwaitingRetry
    since : ISO time at which it entered that state
    deployed : whether a worker runs it, so that it lives without the command line
    url : where to watch it
    """

    id: str
    name: str
    flow: str
    state: str
    since: str | None
    deployed: bool
    url: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def active_runs(workspace: Path, api: str) -> list[ActiveRun]:
    """The runs of a workspace that wait or run, oldest first; flows inside flows are left to the outer ones.

    Parameters
    ----------
    workspace : as in a configuration
    api : URL of the server, such as :func:`known_api` finds

    Raises
    ------
    httpx.HTTPError
        The server does not answer.
    """
    wanted = str(workspace.absolute())
    with httpx.Client(base_url=api, timeout=PATIENCE, headers=_headers()) as client:
        found = [run for run in _read(client) if _workspace_of(run.get("parameters") or {}) == wanted]
        flows = _flow_names(client, sorted({run["flow_id"] for run in found}))
    pages = api.removesuffix("/api")
    return [
        ActiveRun(
            id=run["id"],
            name=run["name"],
            flow=flows.get(run["flow_id"], "?"),
            state=run["state"]["name"] if run.get("state") else "unknown",
            since=run["state"]["timestamp"] if run.get("state") else None,
            deployed=run.get("deployment_id") is not None,
            url=f"{pages}/runs/flow-run/{run['id']}",
        )
        for run in found
    ]


def known_api() -> str | None:
    """The server that is configured (environment, Prefect's profile), or the one that axonloom started on this machine."""
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    return os.environ.get("PREFECT_API_URL") or _in_profile(home) or _started_here(home)


def _read(client: httpx.Client) -> list[dict[str, Any]]:
    chosen = {"state": {"type": {"any_": list(ACTIVE)}}, "parent_task_run_id": {"is_null_": True}}
    runs: list[dict[str, Any]] = []
    while len(runs) < MOST:
        page = _post(
            client, "flow_runs", flow_runs=chosen, sort="EXPECTED_START_TIME_ASC", limit=PAGE, offset=len(runs)
        )
        runs += page
        if len(page) < PAGE:
            break
    return runs


def _flow_names(client: httpx.Client, flows: list[str]) -> dict[str, str]:
    if not flows:
        return {}
    return {flow["id"]: flow["name"] for flow in _post(client, "flows", flows={"id": {"any_": flows}})}


def _post(client: httpx.Client, what: str, **body: Any) -> list[dict[str, Any]]:
    return client.post(f"/{what}/filter", json=body).raise_for_status().json()


def _headers() -> dict[str, str]:
    key = os.environ.get("PREFECT_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _workspace_of(parameters: Mapping[str, Any]) -> str | None:
    """The workspace in a flow run's parameters; the server has no filter for it."""
    configuration = parameters.get("configuration")
    given = configuration.get("workspace") if isinstance(configuration, Mapping) else None
    return given if isinstance(given, str) else None


def _in_profile(home: Path) -> str | None:
    try:
        profiles = tomllib.loads((home / "profiles.toml").read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return None
    active = os.environ.get("PREFECT_PROFILE", profiles.get("active", ""))
    return profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL")


def _started_here(home: Path) -> str | None:
    try:
        return json.loads((home / "axonloom-server" / "server.json").read_text())["url"]
    except (OSError, ValueError, KeyError):
        return None
