"""One step that tells a Prefect server all it needs to run axonloom: pools, blocks, limits, deployments, the automation.

May be run again at any time: what is there is brought up to date, and what a person has changed on the server (parameters,
schedules, defaults of a pool, limits, saved blocks) is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from axonloom import __version__
from axonloom.bad_input import BadInputError
from deployments.crash_watch import ensure_watch
from deployments.limits import ensure_limits
from deployments.pools import ensure_pools
from deployments.saved_blocks import ensure_blocks

#: Stands in prefect.yaml for the folder in which runs start.
FOLDER_VARIABLE = "{{ $AXONLOOM_FOLDER }}"


class DeployError(BadInputError):
    """Something that cannot be deployed as asked."""


@dataclass(frozen=True)
class DeploymentSpec:
    """One deployment of prefect.yaml.

    Attributes
    ----------
    name : of the deployment: that of its pool
    entrypoint : module and function of the flow, with dots
    pool : work pool
    content : the whole entry
    """

    name: str
    entrypoint: str
    pool: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Deployed:
    """What a server knows now.

    Attributes
    ----------
    deployments : ``flow/name`` of each
    folder : where runs start, and relative paths in a form with them
    changes : what -> made, updated or kept, for pools, blocks, limits and the automation
    """

    deployments: tuple[str, ...]
    folder: Path
    changes: dict[str, str]


def deploy(folder: Path, gpu_slots: int | None = None) -> Deployed:
    """Tell the server at ``PREFECT_API_URL`` everything.

    Parameters
    ----------
    folder
        Where runs start; relative paths that are typed into a form are relative to it. On a cluster it must be on the shared
        file system.
    gpu_slots
        Batches that may use GPUs at once. None keeps what the server has; at first, the GPUs of this machine.

    Raises
    ------
    DeployError
        The folder does not exist.
    """
    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        raise DeployError(f"--folder: {folder} does not exist; name a folder in which runs can start")
    with get_client(sync_client=True) as client:
        changes = {
            **ensure_pools(client),
            **ensure_blocks(client),
            **ensure_limits(client, gpu_slots),
            "automation": ensure_watch(client),
        }
        names = tuple(_apply(client, spec, folder) for spec in specifications())
    return Deployed(deployments=names, folder=folder, changes=changes)


def specifications() -> list[DeploymentSpec]:
    """The deployments of prefect.yaml, in its order."""
    return [
        DeploymentSpec(
            name=entry["name"], entrypoint=entry["entrypoint"], pool=entry["work_pool"]["name"], content=entry
        )
        for entry in _prefect_yaml()["deployments"]
    ]


def _prefect_yaml() -> dict[str, Any]:
    return yaml.safe_load(files("deployments").joinpath("prefect.yaml").read_text())


def pull_steps(folder: Path) -> list[dict[str, Any]]:
    """What a run does before its flow: it goes to the folder, and pulls no code."""
    return [
        {step: {name: str(value).replace(FOLDER_VARIABLE, str(folder)) for name, value in given.items()}}
        for entry in _prefect_yaml()["pull"]
        for step, given in entry.items()
    ]


def _apply(client: SyncPrefectClient, spec: DeploymentSpec, folder: Path) -> str:
    flow = load_flow_from_entrypoint(spec.entrypoint, use_placeholder_flow=False)
    full_name = f"{flow.name}/{spec.name}"
    common = {
        "version": __version__,
        "description": _description(flow, spec, folder),
        "tags": spec.content.get("tags", []),
        "entrypoint": spec.entrypoint,
        "work_pool_name": spec.pool,
        "job_variables": spec.content["work_pool"].get("job_variables", {}),
        "pull_steps": pull_steps(folder),
        "parameter_openapi_schema": parameter_schema(flow).model_dump_for_openapi(),
        "enforce_parameter_schema": True,
    }
    try:
        known = client.read_deployment_by_name(full_name)
    except ObjectNotFound:
        limit, options = _concurrency(spec)
        client.create_deployment(
            client.create_flow_from_name(flow.name),
            spec.name,
            schedules=list(_schedules(spec)),
            parameters=spec.content.get("parameters", {}),
            concurrency_limit=limit,
            concurrency_options=options,
            **common,
        )
    else:
        # Nothing is said of parameters, schedules and the concurrency limit: a person may have changed them.
        kept = known.job_variables or {}
        ours = common.pop("job_variables")
        variables = {**kept, **ours, "env": {**kept.get("env", {}), **ours.get("env", {})}}
        client.update_deployment(known.id, DeploymentUpdate(**common, job_variables=variables))
    return full_name


def _description(flow: Flow[..., Any], spec: DeploymentSpec, folder: Path) -> str:
    """What the page of the deployment says at its top (markdown)."""
    said = spec.content.get("description") or flow.description or ""
    return f"{said}\n\nRelative paths in the form start at `{folder}` on the machine that runs the flow."


def _schedules(spec: DeploymentSpec) -> Iterator[DeploymentScheduleCreate]:
    for entry in spec.content.get("schedules", ()):
        if "cron" in entry:
            schedule: CronSchedule | IntervalSchedule = CronSchedule(cron=entry["cron"], timezone=entry.get("timezone"))
        else:
            schedule = IntervalSchedule(interval=timedelta(seconds=entry["interval"]))
        yield DeploymentScheduleCreate(schedule=schedule, active=entry.get("active", True), slug=entry.get("slug"))


def _concurrency(spec: DeploymentSpec) -> tuple[int | None, ConcurrencyOptions | None]:
    given = spec.content.get("concurrency_limit")
    if given is None:
        return None, None
    limit = ConcurrencyLimitConfig.model_validate(given)
    return limit.limit, ConcurrencyOptions(
        collision_strategy=limit.collision_strategy, grace_period_seconds=limit.grace_period_seconds
    )
