"""What a form in the browser sends, and what a run makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from axonloom.config.compute import ComputeSettings
from axonloom.config.configuration import Configuration
from axonloom.config.load import located
from axonloom.config.volumes import VolumeSettings, VolumesSettings
from axonloom.workspace import WorkspaceError


def test_relative_paths_start_at_the_folder_and_others_stay(tmp_path):
    given = Configuration(
        workspace=Path("work"),
        volumes=VolumesSettings(
            image=VolumeSettings(path="a.h5:raw"), mask=VolumeSettings(path="precomputed://https://lab.org/mask")
        ),
    )
    found = located(given, tmp_path)
    assert found.workspace == tmp_path / "work"
    assert found.volumes.image.path == f"{tmp_path}/a.h5:raw"
    assert found.volumes.mask.path == "precomputed://https://lab.org/mask"
    assert found.volumes.segmentation.path == "precomputed://{workspace}/segmentation"
    assert located(found, Path("/elsewhere")) == found
    assert located(Configuration(), tmp_path).workspace == tmp_path / "work"


def test_a_form_and_a_file_give_one_configuration(tmp_path):
    """Forms send numbers for decimal fractions, and every field."""
    small = Configuration.model_validate({"merge": {"threshold": "0.7"}, "evaluate": {"thresholds": ["0.1", "0.3"]}})
    sent = small.model_dump(mode="json")
    sent["evaluate"]["thresholds"] = [0.1, 0.3]
    sent["train"]["gradient_norm"] = 1
    assert Configuration.model_validate(sent) == small


def test_what_nobody_touched_in_a_form_is_not_given(tmp_path, monkeypatch):
    from tasks.job import as_job

    monkeypatch.chdir(tmp_path)
    seen = []
    run = as_job(lambda configuration: seen.append(configuration.compute.model_fields_set) or {})
    form = Configuration(compute=ComputeSettings(block="mine", workers=5)).model_dump(mode="json")
    run(Configuration.model_validate(form))
    run(Configuration(compute=ComputeSettings(block="mine", workers=2)))
    assert seen == [{"block", "workers"}, {"block", "workers"}]


def test_a_job_writes_one_log_in_its_workspace_and_says_when_it_cannot(tmp_path, monkeypatch):
    import logging

    from tasks.job import as_job

    monkeypatch.chdir(tmp_path)

    def inner(configuration):
        logging.getLogger("axonloom").warning("inside")
        return {}

    run_inner = as_job(inner)

    def outer(configuration):
        logging.getLogger("axonloom").warning("around")
        return run_inner(configuration)

    as_job(outer)(Configuration(workspace=Path("work")))
    logging.getLogger("axonloom").warning("after")
    (log,) = (tmp_path / "work" / "logs").iterdir()
    assert [line.split(": ")[-1] for line in log.read_text().splitlines()] == ["around", "inside"]
    (tmp_path / "file").touch()
    with pytest.raises(WorkspaceError, match="cannot be written"):
        as_job(inner)(Configuration(workspace=Path("file/work")))
