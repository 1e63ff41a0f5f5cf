"""PyTorch Connectomics' configurations written as axonloom's."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from axonloom.config.load import load_configuration
from axonloom.pytc.configuration import PytcConfiguration
from axonloom.pytc.importing import import_configuration
from cli.main import app


def folder(shared: Path) -> Path:
    return shared / "oracle" / "pytc" / "configs"


@pytest.mark.parametrize("name", ["UNet", "UNet-LR", "UNet-MER", "UNet-2x", "Contour-UNet-2x", "ResNet", "EffNet"])
def test_what_was_set_is_mapped_or_said(shared, name):
    snemi = folder(shared) / "SNEMI"
    given = PytcConfiguration.load(snemi / "SNEMI-Base.yaml", snemi / f"SNEMI-Affinity-{name}.yaml")
    found = import_configuration(given)
    assert not found.refused
    said = {note.split()[0] for note in found.notes}
    assert set(found.mapped) | said >= given.said
    assert found.settings["train"]["learning_rate"] == 0.02
    assert found.settings["train"]["volumes"][0]["image"]["path"] == "datasets/SNEMI3D/image/train-input.tif"
    assert any(note.startswith("DATASET.DATA_SCALE") for note in found.notes) == name.endswith("2x")


def test_everything_refused_is_named(shared):
    snemi = folder(shared) / "SNEMI"
    words = ["SOLVER.NAME", "Lion", "MODEL.TARGET_OPT", "['b']", "MODEL.ARCHITECTURE", "deeplabv3a"]
    given = PytcConfiguration.load(snemi / "SNEMI-Base.yaml", snemi / "SNEMI-Affinity-UNETR.yaml", words)
    refused = " ".join(import_configuration(given).refused)
    assert all(part in refused for part in ("deeplabv3a", "Lion", "'b'"))


def test_from_the_command_line(shared, tmp_path):
    snemi = folder(shared) / "SNEMI"
    command = [
        "config",
        "import-pytc",
        str(snemi / "SNEMI-Affinity-UNet.yaml"),
        "--base",
        str(snemi / "SNEMI-Base.yaml"),
    ]
    target = tmp_path / "a.yaml"
    found = CliRunner().invoke(app, [*command, "SOLVER.BASE_LR", "0.01", "-o", str(target)])
    assert found.exit_code == 0, found.output
    assert "mapped: SOLVER.BASE_LR" in found.output
    assert "no effect: DATASET.PAD_SIZE" in found.output
    loaded = load_configuration(target)
    assert loaded.train.learning_rate == 0.01
    assert loaded.infer.window == (17, 513, 513)
    again = CliRunner().invoke(app, [*command, "-o", str(target)])
    assert again.exit_code == 2
    refused = CliRunner().invoke(app, [*command, "SOLVER.NAME", "Lion", "-o", str(tmp_path / "b.yaml")])
    assert refused.exit_code == 2
    assert "refused: SOLVER.NAME is 'Lion'" in refused.output
    assert not (tmp_path / "b.yaml").exists()


def test_every_configuration_there_is_is_read_or_refused_by_name(shared):
    """Also those of other projects, whose images are files of tiles."""
    for kind in ("neuron", "synapse"):
        files = sorted((folder(shared) / "JWR15" / kind).glob("*.yaml"))
        (base,) = (file for file in files if "Base" in file.name)
        for file in files:
            if file != base:
                found = import_configuration(PytcConfiguration.load(base, file))
                assert found.settings or found.refused
