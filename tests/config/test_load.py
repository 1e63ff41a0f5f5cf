"""Configurations: what is accepted, and the sentence for what is not."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from axonloom.config.configuration import Configuration
from axonloom.config.load import ConfigurationError, known_keys, load_configuration
from axonloom.config.template import template

EXAMPLE = """
workspace: ./work
volumes:
  image:        {path: train.h5:volumes/raw}
  labels:       {path: train.h5:volumes/labels/neuron_ids}
  affinities:   {path: predicted.h5:affinities}
  segmentation: {path: precomputed://./work/segmentation}
train:   {preset: small, iterations: 600}
infer:   {checkpoint: ./work/checkpoints/best}
blocks:  {shape: [128, 128, 128]}
segment: {low: 0.05, high: 0.99}
merge:   {threshold: 0.5}
compute: {on: local, workers: 2}
"""


@pytest.fixture
def file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "project" / "axonloom.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_the_documented_example_is_accepted_and_its_paths_belong_to_its_folder(file):
    path = file(EXAMPLE)
    found = load_configuration(path)
    folder = path.parent
    assert found.workspace == folder / "work"
    assert found.volumes.image is not None
    assert found.volumes.image.path == f"{folder}/train.h5:volumes/raw"
    assert found.volumes.segmentation.path == f"precomputed://{folder}/work/segmentation"
    assert found.infer.checkpoint == folder / "work" / "checkpoints" / "best"
    assert found.merge.threshold == Decimal("0.5")
    assert found.segment.low == Decimal("0.05")


def test_what_is_typed_belongs_to_the_current_folder(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = load_configuration(
        file(EXAMPLE), ["volumes.image.path=other.h5:raw", "merge.threshold=0.35", "blocks.shape=[64, 64, 32]"]
    )
    assert found.volumes.image is not None
    assert found.volumes.image.path == f"{tmp_path}/other.h5:raw"
    assert found.merge.threshold == Decimal("0.35")
    assert found.blocks.shape == (64, 64, 32)


@pytest.mark.parametrize(
    ("text", "overrides", "sentence"),
    [
        ("merge: {treshold: 0.5}", [], "unknown key merge.treshold; the nearest known key is merge.threshold"),
        ("treshold: 0.5", [], "unknown key treshold; the nearest known key is merge.threshold"),
        ("treshold: 0.5\nmerg: {}", [], "unknown key treshold; .*; unknown key merg; the nearest known key is merge"),
        ("", ["blocks.shape=[1,1]"], "with --set blocks.shape: blocks.shape.2: one is missing in this list"),
        ("", ["blocks.shap=[1,1,1]"], "unknown key blocks.shap; the nearest known key is blocks.shape"),
        ("", ["merge.threshold"], "takes KEY=VALUE"),
        ("merge: {threshold: 1.5}", [], "merge.threshold: Input should be less than or equal to 1"),
        ("merge: {threshold: 0.01}", [], "below merge.lowest"),
        ("segment: {low: 0.9, high: 0.1}", [], "segment.low .0.9. must not be above segment.high"),
        ("blocks: {shape: [0, 64, 64]}", [], "blocks.shape.0"),
        ("compute: {on: cloud}", [], "compute.on"),
        ("- a list", [], "must hold keys"),
        ("a: [", [], "is not YAML"),
        ("volumes: {image: train.h5}", [], "volumes.image: this is a section, written image: {path: …}"),
        ("volumes: {image: {path: a.h5, voxel_size: 8}}", [], "volumes.image.voxel_size: this is a list"),
        ("infer: {checkpoint: [1]}", [], "infer.checkpoint: this is a path"),
    ],
)
def test_bad_input_is_one_sentence(file, text, overrides, sentence):
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        load_configuration(file(text), overrides)
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_command_that_writes_one(tmp_path):
    with pytest.raises(ConfigurationError, match="axonloom init"):
        load_configuration(tmp_path / "none.yaml")


def test_every_key_says_what_it_means():
    def undocumented(model, prefix=""):
        for name, field in model.model_fields.items():
            if not field.description:
                yield prefix + name

    assert list(undocumented(Configuration)) == []
    for key, section in known_keys().items():
        if section is not None:
            assert list(undocumented(section, f"{key}.")) == []


def test_the_template_is_the_defaults_and_loads(file):
    found = load_configuration(file(template()))
    assert found.merge == Configuration().merge
    assert found.volumes.image is not None


def test_uncommenting_any_line_of_the_template_keeps_it_a_configuration(file):
    """Commented lines show keys and defaults that are really accepted."""
    lines = template().splitlines()
    assert "Undefined" not in template()
    keys = [line.strip("# ").split(":")[0] for line in lines if line.lstrip().startswith("# ") and ":" in line]
    assert {"retries", "mips", "smoothing", "lowest"} <= set(keys)
    assert yaml.safe_load(template())["merge"] == {"threshold": 0.5}
