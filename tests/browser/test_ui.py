"""Runs from Prefect's pages, driven in a real browser: fill the form, start, watch, open the artifacts, retry."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from tests.browser.prefect_ui import open_form, open_run, wait_for_state
from tests.flows.affinity_project import segmentation
from tests.station import Station, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: Where pictures for the docs go, when someone asks for them.
PICTURES = os.environ.get("AXONLOOM_UI_PICTURES")


def picture(page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"ui-{name}.png")


def newest_run(station: Station, flow: str, known: set[str]) -> str:
    found = until(lambda: [r["id"] for r in station.runs(flow) if r["id"] not in known], bool, 60)
    return found[-1]


def fill(form, project: Path, workspace: str, shape: tuple[int, int, int]) -> None:
    form["workspace"].write(workspace)
    form["volumes"]["affinities"].choose("AffinitySettings")["path"].write(str(project / "affinities.zarr"))
    form["volumes"]["labels"].choose("VolumeSettings")["path"].write(str(project / "labels.zarr"))
    form["blocks"]["shape"].write_all(*shape)
    form["merge"]["threshold"].write("0.6")


def start(page, station: Station, flow: str) -> str:
    known = {run["id"] for run in station.runs(flow)}
    page.get_by_role("button", name="Submit").click()
    return newest_run(station, flow, known)


def answer(page, button: str, confirm: str, name: str) -> None:
    """Press a button of a run's page, and confirm what it asks."""
    page.get_by_role("button", name=button).first.click()
    dialog = page.get_by_role("dialog")
    dialog.wait_for()
    page.wait_for_timeout(700)
    picture(page, name)
    dialog.get_by_role("button", name=confirm).first.click()


def settings_of(station: Station, run: str) -> Configuration:
    sent = Configuration.model_validate(station.get(f"flow_runs/{run}")["parameters"]["configuration"])
    return sent.model_copy(update={"workspace": station.folder / sent.workspace})


@pytest.fixture(scope="module")
def undisturbed(browser, station, project, tmp_path_factory):
    """A run that was started from the form and watched to its end: its id."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    form = open_form(page, station.ui, station.deployment("reconstruct/local")["id"])
    picture(page, "form")
    fill(form, project, "undisturbed", (65, 70, 97))
    run = start(page, station, "reconstruct")
    open_run(page, station.ui, run)
    wait_for_state(page, "Completed", 300)
    page.wait_for_timeout(1500)
    picture(page, "run")
    page.close()
    return run


def test_each_field_shows_its_name_help_unit_and_default(page, station):
    form = open_form(page, station.ui, station.deployment("reconstruct/local")["id"])
    defaults = Configuration()
    assert form["workspace"].value == "work"
    assert "Folder for everything made on the way" in form["workspace"].text
    assert form["blocks"]["shape"].values == ["128", "128", "128"]
    assert "Voxels of a block (z, y, x)" in form["blocks"]["shape"].text
    assert form["merge"]["threshold"].value == str(defaults.merge.threshold)
    assert "Score (mean affinity, unless merge.score says otherwise; 0..1)" in form["merge"]["threshold"].text
    assert form["train"]["learning_rate"].value == str(defaults.train.learning_rate)
    assert form["compute"]["workers"].value == str(defaults.compute.workers)
    image = form["volumes"]["image"].choose("VolumeSettings")
    assert "in nm" in image["voxel_size"].text
    # Every text of the configuration stands on the page.
    shown = page.locator("body").inner_text()
    for section in (defaults.segment, defaults.merge, defaults.infer, defaults.train):
        for name, field in type(section).model_fields.items():
            assert field.description[:40] in shown, name


def test_a_run_from_the_form_does_what_the_command_line_does(undisturbed, page, station, project):
    workspace = station.folder / "undisturbed"
    state = station.state(undisturbed)
    assert state["type"] == "COMPLETED"
    found = segmentation(workspace)
    assert found.shape == (65, 70, 97)
    assert len(np.unique(found)) > 20
    (log,) = (workspace / "logs").glob("*-reconstruct-*.log")
    assert "computed" in log.read_text()

    open_run(page, station.ui, undisturbed)
    page.get_by_text("Artifacts", exact=True).first.click()
    keys = {a["key"] for a in station.post("artifacts/filter", flow_runs={"id": {"any_": [undisturbed]}})}
    stages = next(key for key in keys if key.endswith("-stages"))
    page.get_by_text(stages).first.wait_for()
    picture(page, "artifacts")
    page.get_by_text(stages).first.click()
    page.get_by_text("All stages of").first.wait_for()
    for name in ("fragment", "agglomerate", "apply", "contingency"):
        page.get_by_text(name, exact=True).first.wait_for()
    # The picture of the segmentation is drawn, and does not spill over the page.
    sample = next(a for a in station.post("artifacts/filter") if a["key"] and a["key"].endswith("-apply-sample"))
    page.goto(f"{station.ui}/artifacts/artifact/{sample['id']}")
    image = page.locator("img[src^='data:image/png']").first
    image.wait_for()
    assert image.evaluate("e => e.naturalWidth") > 100
    picture(page, "sample")


def test_bad_input_ends_a_run_as_failed_with_its_sentence(page, station, project):
    form = open_form(page, station.ui, station.deployment("segment/local")["id"])
    form["workspace"].write("nothing")
    form["volumes"]["affinities"].choose("AffinitySettings")["path"].write("missing.zarr")
    run = start(page, station, "segment")
    state = station.wait_for(run, "FAILED", "COMPLETED", "CRASHED")
    assert state["type"] == "FAILED"
    assert str(station.folder / "missing.zarr") in state["message"]


def test_a_run_killed_with_its_worker_is_found_dead_and_retry_goes_on(undisturbed, page, station, project):
    form = open_form(page, station.ui, station.deployment("reconstruct/local")["id"])
    fill(form, project, "killed", (32, 32, 32))
    run = start(page, station, "reconstruct")
    chain = Chain(settings_of(station, run))
    until(lambda: len(chain.fragment.ledger.read().done) >= 8, bool)
    for process in station.processes():
        command = process.cmdline()
        if "server" not in command and not any("uvicorn" in word for word in command):
            process.kill()
    before = {plan.fingerprint: set(plan.ledger.read().done) for plan in chain.stages()}
    assert sum(len(done) for done in before.values()) < sum(len(plan.grid) for plan in chain.stages())
    assert station.state(run)["type"] == "RUNNING"

    # Nobody told the server; the automation finds out.
    open_run(page, station.ui, run)
    wait_for_state(page, "Crashed", 240)
    state = station.state(run)
    assert state["type"] == "CRASHED"
    assert "No sign of life" in state["message"]
    picture(page, "crashed")

    station.up()
    answer(page, "Retry", "Retry", "retry")
    assert station.wait_for(run, "COMPLETED", "FAILED", patience=420)["type"] == "COMPLETED"
    for plan in chain.stages():
        state = plan.ledger.read()
        assert set(state.done) == set(range(len(plan.grid)))
        again = {block for block in before[plan.fingerprint] if state.completions.get(block, 1) > 1}
        assert not again, plan.stage
    assert np.array_equal(segmentation(station.folder / "killed"), segmentation(station.folder / "undisturbed"))


def test_suspend_resume_and_cancel(page, station, project):
    form = open_form(page, station.ui, station.deployment("reconstruct/local")["id"])
    fill(form, project, "suspended", (32, 32, 32))
    form["compute"]["workers"].write("1")
    run = start(page, station, "reconstruct")
    chain = Chain(settings_of(station, run))
    until(lambda: len(chain.fragment.ledger.read().done) >= 2, bool)
    open_run(page, station.ui, run)
    answer(page, "Suspend", "Submit", "suspend")
    until(lambda: station.state(run)["name"], lambda name: name == "Suspended")
    # Its process ends by itself, and everything rests.
    until(lambda: engines(station), lambda found: not found)
    page.reload()
    answer(page, "Resume", "Submit", "resume")
    station.wait_for(run, "RUNNING")
    until(lambda: len(chain.join.ledger.read().done), lambda n: n >= 1)
    page.reload()
    answer(page, "Cancel", "Confirm", "cancel")
    assert station.wait_for(run, "CANCELLED", "COMPLETED")["type"] == "CANCELLED"
    until(lambda: engines(station), lambda found: not found)
    for plan in chain.stages():
        assert set(plan.ledger.read().completions.values()) <= {1}


def engines(station: Station) -> list[int]:
    """Processes of this station that run a flow."""
    return [
        p.pid
        for p in station.processes()
        if any(
            word.endswith(("prefect.engine", "_workspace_supervisor", "_workspace_runtime_bootstrap.py"))
            for word in p.cmdline()
        )
    ]


def test_the_same_form_runs_on_slurm(undisturbed, page, station, project, empty_slurm):
    log = (station.folder / "slurm-worker.log").open("ab")
    worker = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", "slurm", "--type", "axonloom-slurm"],
        cwd=station.folder,
        env={**station.environment, **empty_slurm.environment, "PREFECT_API_URL": station.api},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        form = open_form(page, station.ui, station.deployment("reconstruct/slurm")["id"])
        fill(form, project, "on-slurm", (65, 70, 97))
        run = start(page, station, "reconstruct")
        open_run(page, station.ui, run)
        wait_for_state(page, "Completed", 420)
        assert station.get(f"flow_runs/{run}")["infrastructure_pid"]
        page.get_by_text("Artifacts", exact=True).first.click()
        page.get_by_text("-stages").first.wait_for()
    finally:
        worker.terminate()
        worker.wait(60)
    assert np.array_equal(segmentation(station.folder / "on-slurm"), segmentation(station.folder / "undisturbed"))
