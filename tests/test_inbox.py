"""What an inbox makes of files that come, grow, break and go."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest

from axonloom.config.inbox import InboxSettings
from axonloom.config.load import ConfigurationError
from axonloom.inbox import InboxError, configuration_for, look, record_done, record_failure, taking
from axonloom.lease import LeaseHeldError
from axonloom.volumes import create_volume


@pytest.fixture
def settings(tmp_path) -> InboxSettings:
    (tmp_path / "inbox").mkdir()
    return InboxSettings(
        folder=tmp_path / "inbox", template=tmp_path / "inbox.yaml", results=tmp_path / "results", settle=0
    )


def volume(path: Path, value: int = 7) -> Path:
    made = create_volume(str(path), shape=(4, 20, 20), dtype=np.uint8, chunk=(4, 20, 20))
    made.write(made.box, np.full((4, 20, 20), value, np.uint8))
    return path


def states(settings: InboxSettings) -> dict[str, str]:
    return {a.name: a.state for a in look(settings)}


@pytest.mark.parametrize("name", ["a.tif", "a.h5", "a.zarr"])
def test_a_whole_volume_is_ready_and_a_done_one_stays_done(settings, name):
    volume(settings.folder / name)
    (arrival,) = look(settings)
    assert arrival.state == "ready"
    record_done(arrival, {"segmentation": "there"})
    assert states(settings) == {name: "done"}


def test_what_was_replaced_is_new(settings):
    volume(settings.folder / "a.tif")
    (first,) = look(settings)
    record_done(first, {})
    (settings.folder / "a.tif").unlink()
    volume(settings.folder / "a.tif", value=8)
    (second,) = look(settings)
    assert second.state == "ready"
    assert second.workspace != first.workspace


def test_half_a_copy_waits_also_when_the_copy_stalls(settings, tmp_path):
    whole = volume(tmp_path / "whole.tif")
    content = whole.read_bytes()
    part = settings.folder / "whole.tif"
    part.write_bytes(content[: len(content) // 2])
    (arrival,) = look(settings)
    assert arrival.state == "waiting"
    assert "cannot be read yet" in arrival.note
    part.write_bytes(content)
    assert states(settings) == {"whole.tif": "ready"}


def test_what_changes_waits_until_it_has_settled(settings):
    patient = settings.model_copy(update={"settle": 3600.0})
    array = volume(settings.folder / "a.zarr")
    assert states(patient) == {"a.zarr": "waiting"}
    record = settings.results / "seen" / "a.zarr.json"
    known = json.loads(record.read_text())
    record.write_text(json.dumps({**known, "at": known["at"] - 3601}))
    assert states(patient) == {"a.zarr": "ready"}
    (chunk,) = [p for p in (array / "c").rglob("*") if p.is_file()]
    chunk.write_bytes(chunk.read_bytes())
    assert states(patient) == {"a.zarr": "waiting"}


def test_hidden_and_other_names_are_not_looked_at(settings):
    volume(settings.folder / "a.tif")
    shutil.copy(settings.folder / "a.tif", settings.folder / ".a.tif.X1y2")
    (settings.folder / "notes.txt").write_text("not a volume")
    assert states(settings) == {"a.tif": "ready"}


def test_what_fails_again_and_again_is_given_up(settings):
    volume(settings.folder / "a.tif")
    for k in range(1, 4):
        (arrival,) = look(settings)
        assert arrival.state == "ready"
        assert record_failure(arrival, "block 3: poisoned") == k
    (arrival,) = look(settings)
    assert arrival.state == "given up"
    assert "poisoned" in arrival.note


def _hold(settings: InboxSettings, taken, release) -> None:
    (arrival,) = look(settings)
    with taking(arrival):
        taken.set()
        release.wait(30)


def test_one_run_at_a_time_has_a_volume_and_a_dead_one_leaves_it(settings):
    volume(settings.folder / "a.tif")
    (arrival,) = look(settings)
    context = multiprocessing.get_context("fork")
    taken, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(settings, taken, release))
    other.start()
    assert taken.wait(30)
    with pytest.raises(LeaseHeldError), taking(arrival):
        pass
    other.kill()
    other.join()
    with taking(arrival) as mine:
        assert mine
        record_done(arrival, {})
    with taking(arrival) as mine:
        assert not mine


def test_the_template_gets_the_volume_and_a_workspace_of_its_own(settings):
    settings.template.write_text(
        "volumes: {image: {path: other.tif, voxel_size: [30, 8, 8]}}\nmerge: {threshold: 0.7}\n"
    )
    volume(settings.folder / "a: b.tif")
    (arrival,) = look(settings)
    configuration = configuration_for(arrival, settings)
    assert configuration.volumes.image is not None
    assert configuration.volumes.image.path == str(settings.folder / "a: b.tif")
    assert configuration.volumes.image.voxel_size == (30, 8, 8)
    assert configuration.workspace == arrival.workspace
    settings.template.unlink()
    with pytest.raises(ConfigurationError, match="does not exist"):
        configuration_for(arrival, settings)


def test_an_inbox_that_is_not_there_is_said(settings):
    settings.folder.rmdir()
    with pytest.raises(InboxError, match="does not exist; make it"):
        look(settings)
