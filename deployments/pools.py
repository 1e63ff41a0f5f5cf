"""The work pools: runs as processes of one machine, and runs as Slurm jobs."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker

from axonloom.bad_input import BadInputError
from deployments.slurm.worker import SlurmWorker


class PoolError(BadInputError):
    """A work pool that is there and cannot be used."""


@dataclass(frozen=True)
class Pool:
    """A work pool and the worker whose job template it has."""

    name: str
    worker: type[BaseWorker[Any, Any, Any]]
    description: str


LOCAL = Pool("local", ProcessWorker, "Runs as processes of one machine; `axonloom up` starts a worker.")
SLURM = Pool(
    "slurm",
    SlurmWorker,
    "Each run is a Slurm job; start a worker on a machine that can submit jobs (docs/slurm.md).",
)
POOLS = (LOCAL, SLURM)


def ensure_pools(client: SyncPrefectClient) -> dict[str, str]:
    """Make the pools, or bring their templates up to date. Returns for each: made, updated or kept.

    Defaults that a person has set in a pool (a partition, an account) stay.

    Raises
    ------
    PoolError
        A pool of that name is of another type.
    """
    return {f"pool {pool.name}": _ensure(client, pool) for pool in POOLS}


def _ensure(client: SyncPrefectClient, pool: Pool) -> str:
    template = pool.worker.get_default_base_job_template()
    try:
        known = client.read_work_pool(pool.name)
    except ObjectNotFound:
        # Made meanwhile: a busy server made it, answered too late, and was asked again; or another `deploy` was first.
        with suppress(ObjectAlreadyExists):
            client.create_work_pool(
                WorkPoolCreate(
                    name=pool.name, type=pool.worker.type, description=pool.description, base_job_template=template
                )
            )
        return "made"
    if known.type != pool.worker.type:
        raise PoolError(
            f"the server has a work pool {pool.name} of type {known.type}, and axonloom's is of type {pool.worker.type}: "
            "delete or rename that one"
        )
    wanted = with_defaults_of(template, known.base_job_template)
    if wanted == known.base_job_template:
        return "kept"
    client.update_work_pool(pool.name, WorkPoolUpdate(base_job_template=wanted))
    return "updated"


def with_defaults_of(template: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """A job template with the defaults of the one on the server, where both have the variable."""
    result = deepcopy(template)
    before = known.get("variables", {}).get("properties", {})
    for name, variable in result.get("variables", {}).get("properties", {}).items():
        if "default" in before.get(name, {}):
            variable["default"] = before[name]["default"]
    return result
