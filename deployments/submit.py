"""A flow run of a deployment: made here, run by a worker, whoever goes home meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import WorkerFilter, WorkerFilterStatus
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings

from axonloom.bad_input import BadInputError
from axonloom.config.configuration import Configuration
from deployments.running import staying_api
from deployments.server import ServerError, healthy, ui_url


class SubmissionError(BadInputError):
    """A run that cannot be handed over, in one sentence."""


@dataclass(frozen=True)
class Submitted:
    """A run that a worker will take.

    Attributes
    ----------
    id, name : of the flow run
    url : where to watch it
    waits : a sentence when no worker is there to take it, else None
    """

    id: str
    name: str
    url: str
    waits: str | None


def submit(flow: str, pool: str, configuration: Configuration) -> Submitted:
    """Make a run of the deployment ``flow/pool``.

    Raises
    ------
    SubmissionError
        No server stays, or it has no such deployment.
    ServerError
        The server does not answer.
    """
    url = staying_api()
    if url is None:
        raise SubmissionError(
            "no Prefect server stays when this command ends: start one with `axonloom up`, or set PREFECT_API_URL"
        )
    if not healthy(url):
        raise ServerError(f"no Prefect server answers at {url}: start it, and submit again")
    # What was not given stays so: the flow fills in the defaults. Relative paths would be the worker's.
    parameters = configuration.model_dump(mode="json", exclude_unset=True)
    parameters["workspace"] = str(configuration.workspace.absolute())
    with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(f"{flow}/{pool}")
        except ObjectNotFound:
            raise SubmissionError(
                f"the server at {ui_url(url)} has no deployment {flow}/{pool}: run `axonloom deploy`; pools are local and slurm"
            ) from None
        run = client.create_flow_run_from_deployment(deployment.id, parameters={"configuration": parameters})
        waits = _waits(client, pool)
    return Submitted(str(run.id), run.name, f"{ui_url(url)}/runs/flow-run/{run.id}", waits)


def _waits(client: SyncPrefectClient, pool: str) -> str | None:
    body = {
        "workers": WorkerFilter(status=WorkerFilterStatus(any_=["ONLINE"])).model_dump(mode="json", exclude_none=True)
    }
    if client.request("POST", f"/work_pools/{pool}/workers/filter", json=body).json():
        return None
    kind = " --type axonloom-slurm" if pool == "slurm" else ""
    start = f"`prefect worker start --pool {pool}{kind}`" + (" or `axonloom up`" if pool == "local" else "")
    return f"it waits: no worker of the pool {pool} is running; start one with {start}"
