"""What a server knows after ``axonloom deploy``, and after a second one."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

import pytest
from pydantic import BaseModel

from axonloom.config.load import section_of

pytestmark = pytest.mark.flow


def flows_of_the_house() -> dict[str, object]:
    """Module -> the flows that are defined in it, of every file in flows/."""
    from prefect import Flow

    import flows

    found = {}
    for module in pkgutil.iter_modules(flows.__path__):
        here = import_module(f"flows.{module.name}")
        found[module.name] = [
            f for f in vars(here).values() if isinstance(f, Flow) and f.fn.__module__ == here.__name__
        ]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def deployed(prefect_api, folder):
    from deployments.deploy import deploy

    return deploy(folder, gpu_slots=2)


@pytest.fixture
def client(prefect_api):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


def test_every_file_of_flows_is_one_flow_of_its_name_with_one_form():
    for name, found in flows_of_the_house().items():
        (flow,) = found
        assert flow.name == name.replace("_", "-")
        (parameter,) = inspect.signature(flow.fn, eval_str=True).parameters.values()
        assert parameter.name == "configuration"
        assert issubclass(parameter.annotation, BaseModel)


def test_every_flow_is_deployed_to_both_pools(deployed, client):
    for name in flows_of_the_house():
        for pool, kind in (("local", "process"), ("slurm", "axonloom-slurm")):
            deployment = client.read_deployment_by_name(f"{name.replace('_', '-')}/{pool}")
            assert deployment.work_pool_name == pool
            assert client.read_work_pool(pool).type == kind
            assert deployment.tags == ["axonloom"]
            assert deployment.job_variables["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
            assert "axonloom" in deployment.tags


def test_runs_pull_no_code_and_start_in_the_folder(deployed, client, folder):
    for full_name in deployed.deployments:
        deployment = client.read_deployment_by_name(full_name)
        assert deployment.pull_steps == [
            {"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}
        ]
        assert str(folder) in deployment.description


def test_the_form_says_what_each_field_means_and_its_default(deployed, client):
    for full_name in deployed.deployments:
        schema = client.read_deployment_by_name(full_name).parameter_openapi_schema
        assert schema["required"] == ["configuration"]
        models = [m for m in schema["definitions"].values() if m["type"] == "object"]
        assert models
        for model in models:
            for field, told in model["properties"].items():
                # A section's text is left out where it is that of its model.
                section = schema["definitions"].get(told.get("$ref", "").split("/")[-1], {})
                assert told.get("description") or section.get("description"), (full_name, model["title"], field)
                assert "default" in told or field in model["required"], (full_name, model["title"], field)


def test_numbers_of_the_configuration_state_their_unit():
    """Steps, shares and counts name what they count; lengths and times their unit."""
    from axonloom.config.configuration import Configuration

    without = {"learning_rate", "weight_decay", "gradient_norm", "dice", "seed", "gamma"}

    def visit(model: type[BaseModel]) -> None:
        for name, field in model.model_fields.items():
            section = section_of(field.annotation)
            if section is not None:
                visit(section)
            elif field.annotation in (int, float, int | None, float | None) and name not in without:
                assert len(field.description.split()) > 2, f"{model.__name__}.{name}"

    visit(Configuration)


def test_deploying_again_changes_nothing(deployed, folder, client):
    from deployments.deploy import deploy

    before = {name: client.read_deployment_by_name(name) for name in deployed.deployments}
    again = deploy(folder)
    assert again.deployments == deployed.deployments
    assert {change.split(":")[0] for change in again.changes.values()} == {"kept"}
    for name, old in before.items():
        new = client.read_deployment_by_name(name)
        changing = {"updated", "last_polled", "status", "version_id", "version_info"}
        assert new.model_dump(exclude=changing) == old.model_dump(exclude=changing)


def test_what_a_person_changed_is_kept(deployed, folder, client):
    from prefect.client.schemas.actions import DeploymentUpdate, WorkPoolUpdate

    from axonloom.config.compute import ComputeSettings
    from blocks.compute import Compute
    from deployments.crash_watch import NAME
    from deployments.deploy import deploy, specifications

    inbox = client.read_deployment_by_name("inbox/local")
    (schedule,) = inbox.schedules
    assert not schedule.active
    client.update_deployment_schedule(inbox.id, schedule.id, active=True)
    mine = {"configuration": {"folder": "/data/new"}}
    client.update_deployment(
        inbox.id,
        DeploymentUpdate(
            parameters=mine,
            tags=inbox.tags,
            job_variables={"working_dir": str(folder), "env": {"MINE": "1"}},
            parameter_openapi_schema=inbox.parameter_openapi_schema,
        ),
    )
    pool = client.read_work_pool("local")
    template = pool.base_job_template
    template["variables"]["properties"]["stream_output"]["default"] = False
    client.update_work_pool("local", WorkPoolUpdate(base_job_template=template))
    Compute(settings=ComputeSettings(workers=7)).save("local", overwrite=True, client=client)
    (automation,) = client.read_automations_by_name(NAME)
    client.pause_automation(automation.id)
    try:
        deploy(folder)
        inbox = client.read_deployment_by_name("inbox/local")
        assert inbox.schedules[0].active
        assert inbox.parameters == mine
        assert inbox.job_variables["working_dir"] == str(folder)
        (ours,) = (s for s in specifications() if s.entrypoint.startswith("flows.inbox") and s.pool == "local")
        assert inbox.job_variables["env"] == {"MINE": "1", **ours.content["work_pool"]["job_variables"]["env"]}
        kept = client.read_work_pool("local").base_job_template["variables"]["properties"]["stream_output"]["default"]
        assert kept is False
        assert Compute.load("local").settings.workers == 7
        assert client.read_global_concurrency_limit_by_name("axonloom-gpu").limit == 2
        (automation,) = client.read_automations_by_name(NAME)
        assert not automation.enabled
    finally:
        client.update_deployment_schedule(inbox.id, schedule.id, active=False)
        client.resume_automation(automation.id)


def test_a_pool_of_another_kind_is_refused(prefect_api, client):
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    from deployments.pools import Pool, PoolError, _ensure

    client.create_work_pool(WorkPoolCreate(name="taken", type="docker"))
    with pytest.raises(PoolError, match="of type docker, and axonloom's is of type process"):
        _ensure(client, Pool("taken", ProcessWorker, ""))


def test_a_folder_that_is_not_there_is_refused(prefect_api, tmp_path):
    from deployments.deploy import DeployError, deploy

    with pytest.raises(DeployError, match="does not exist; name a folder"):
        deploy(tmp_path / "nowhere")
