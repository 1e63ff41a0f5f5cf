"""What counts as a failure of a volume of the inbox; the reconstruction itself is a stand-in."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

import flows.inbox
from axonloom.bad_input import BadInputError
from axonloom.config.inbox import InboxSettings
from axonloom.config.load import ConfigurationError
from axonloom.inbox import look
from axonloom.networks.checkpoint import CheckpointError
from axonloom.runner import LeaseLostError, StoppedError
from axonloom.volumes import VolumeError, create_volume
from blocks.compute import ComputeBlockError
from blocks.slurm_answers import SlurmError
from flows.inbox import InboxFailedError


@pytest.fixture
def settings(tmp_path, monkeypatch) -> InboxSettings:
    monkeypatch.setattr(flows.inbox, "show_inbox", lambda *given: None)
    monkeypatch.setattr(flows.inbox, "get_run_logger", lambda: logging.getLogger("inbox"))
    (tmp_path / "inbox.yaml").write_text("compute: {workers: 1}\n")
    (tmp_path / "inbox").mkdir()
    for name in ("a.tif", "b.tif"):
        volume(tmp_path / "inbox" / name)
    return InboxSettings(
        folder=tmp_path / "inbox",
        template=tmp_path / "inbox.yaml",
        results=tmp_path / "results",
        volume="affinities",
        settle=0,
    )


def volume(path: Path, value: int = 7) -> None:
    made = create_volume(str(path), shape=(2, 8, 8), dtype=np.uint8)
    made.write(made.box, np.full((2, 8, 8), value, np.uint8))


def run(settings: InboxSettings, monkeypatch, reconstruct) -> dict[str, str]:
    monkeypatch.setattr(flows.inbox, "reconstruct", reconstruct)
    return flows.inbox.inbox.fn(settings)


def tries(settings: InboxSettings) -> dict[str, int]:
    found = {}
    for arrival in look(settings):
        record = arrival.place / "failed.json"
        found[arrival.name] = json.loads(record.read_text())["tries"] if record.exists() else 0
    return found


def whole(configuration) -> dict[str, str]:
    return {"segmentation": "there"}


def never(configuration) -> dict[str, str]:
    raise AssertionError("begun, though nothing could come of it")


@pytest.mark.parametrize(
    ("template", "error"),
    [
        (None, ConfigurationError),
        ("compute: {wokers: 1}", ConfigurationError),
        ("infer: {checkpoint: gone}", CheckpointError),
        ("volumes: {affinities: {path: x.tif}, labels: {path: gone.tif}}", VolumeError),
        ("compute: {block: gone}", ComputeBlockError),
    ],
)
def test_what_every_volume_would_fail_of_is_no_try_of_any(settings, monkeypatch, template, error):
    if template is None:
        settings.template.unlink()
    else:
        settings.template.write_text(template)
    if error is CheckpointError:
        settings = settings.model_copy(update={"volume": "image"})
    if error is ComputeBlockError:

        def refused(compute):
            assert compute.block == "gone"
            raise ComputeBlockError("compute.block: no compute settings were saved as 'gone'")

        monkeypatch.setattr(flows.inbox, "resolved", refused)
    with pytest.raises(error):
        run(settings, monkeypatch, never)
    assert tries(settings) == {"a.tif": 0, "b.tif": 0}


@pytest.mark.parametrize("error", [BadInputError("torn"), RuntimeError("nobody foresaw it"), OSError(5, "broken disk")])
def test_an_error_at_one_volume_counts_for_it_and_the_others_go_on(settings, monkeypatch, error):
    def reconstruct(configuration):
        if configuration.volumes.affinities.path.endswith("a.tif"):
            raise error
        return whole(configuration)

    with pytest.raises(InboxFailedError, match=r"1 of 2 volumes failed: a\.tif: "):
        run(settings, monkeypatch, reconstruct)
    assert tries(settings) == {"a.tif": 1, "b.tif": 0}
    assert {a.name: a.state for a in look(settings)} == {"a.tif": "ready", "b.tif": "done"}


@pytest.mark.parametrize(
    "error",
    [
        StoppedError("stopped"),
        LeaseLostError("taken"),
        KeyboardInterrupt(),
        SlurmError("refused"),
        ConfigurationError("no"),
    ],
)
def test_what_ends_the_run_is_no_try(settings, monkeypatch, error):
    asked = []

    def reconstruct(configuration):
        asked.append(configuration)
        raise error

    with pytest.raises(type(error)):
        run(settings, monkeypatch, reconstruct)
    assert len(asked) == 1
    assert tries(settings) == {"a.tif": 0, "b.tif": 0}


def test_a_checkpoint_that_goes_while_volumes_run_is_no_try(settings, monkeypatch):
    there = iter([True, False])

    def require(configuration):
        if not next(there):
            raise CheckpointError("gone")

    def reconstruct(configuration):
        raise CheckpointError("gone")

    monkeypatch.setattr(flows.inbox, "require_usable", require)
    with pytest.raises(CheckpointError):
        run(settings, monkeypatch, reconstruct)
    assert tries(settings) == {"a.tif": 0, "b.tif": 0}


@pytest.mark.parametrize("fails", [False, True])
def test_a_volume_that_changes_while_it_is_reconstructed_waits(settings, monkeypatch, fails):
    def reconstruct(configuration):
        if configuration.volumes.affinities.path.endswith("a.tif"):
            (settings.folder / "a.tif").unlink()
            volume(settings.folder / "a.tif", value=8)
            if fails:
                raise BadInputError("half of this and half of that")
        return whole(configuration)

    before = {a.name: a for a in look(settings)}
    outcome = run(settings, monkeypatch, reconstruct)
    assert outcome["a.tif"].startswith("waiting: it changed while it was reconstructed")
    assert outcome["b.tif"] == "done now"
    assert not (before["a.tif"].place / "done.json").exists()
    assert not (before["a.tif"].place / "failed.json").exists()
    assert {a.name: a.state for a in look(settings)} == {"a.tif": "ready", "b.tif": "done"}


def test_a_volume_that_changed_while_another_was_reconstructed_waits(settings, monkeypatch):
    asked = []

    def reconstruct(configuration):
        asked.append(configuration.volumes.affinities.path)
        (settings.folder / "b.tif").unlink()
        return whole(configuration)

    outcome = run(settings, monkeypatch, reconstruct)
    assert outcome == {"a.tif": "done now", "b.tif": "waiting: it changed since it was looked at"}
    assert asked == [str(settings.folder / "a.tif")]
