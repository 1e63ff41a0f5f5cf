"""PyTorch Connectomics' augmentation settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from axonloom.config.augment import AugmentSettings
from axonloom.pytc.augmentation import augmentation
from axonloom.pytc.configuration import PytcConfiguration, PytcError


def given(tmp_path: Path, text: str) -> PytcConfiguration:
    (tmp_path / "config.yaml").write_text(f"AUGMENTOR: {text}\n")
    return PytcConfiguration.load(None, tmp_path / "config.yaml")


def test_all_are_on_where_nothing_is_said(tmp_path):
    settings, notes = augmentation(given(tmp_path, "{}"))
    found = AugmentSettings.model_validate(settings)
    assert notes == []
    assert (found.flip, found.transpose, found.intensity) == (True, "xy", 0.75)
    assert (found.elastic.share, found.elastic.strength, found.misalignment.displacement) == (0.75, 16, 16)
    assert found.rotate.share == 0  # right angles only
    assert (
        min(getattr(found, n).share for n in ("rescale", "missing_section", "motion_blur", "cut_blur", "cut_noise")) > 0
    )


def test_what_is_said_counts(tmp_path):
    text = "{SMOOTH: true, ROTATE: {ROT90: false, P: 0.3}, ELASTIC: {ENABLED: false}, FLIP: {DO_ZTRANS: 1}, CUTNOISE: {SCALE: 0.1, SKIP: [label]}}"
    settings, notes = augmentation(given(tmp_path, text))
    found = AugmentSettings.model_validate(settings)
    assert (found.rotate.share, found.elastic.share, found.transpose, found.cut_noise.strength) == (0.3, 0, "all", 0.1)
    assert [note.split(":")[0] for note in notes] == ["AUGMENTOR.SMOOTH", "AUGMENTOR.CUTNOISE.SKIP"]


@pytest.mark.parametrize(
    ("options", "new_ids"), [("['2']", True), ("['0']", True), ("['9-4']", False), ("['2', '0-3-5']", False)]
)
def test_pasting(tmp_path, options, new_ids):
    text = f"{{COPYPASTE: {{ENABLED: true, P: 0.4, AUG_THRES: 0.6}}}}\nMODEL: {{TARGET_OPT: {options}}}"
    settings, notes = augmentation(given(tmp_path, text))
    found = AugmentSettings.model_validate(settings).copy_paste
    assert (found.share, found.largest, found.new_ids) == (0.4, 0.6, new_ids)
    assert [note.split(":")[0] for note in notes] == ["AUGMENTOR.COPYPASTE"]


def test_all_off(tmp_path):
    found = AugmentSettings.model_validate(augmentation(given(tmp_path, "{ENABLED: false}"))[0])
    assert (found.flip, found.transpose, found.intensity, found.noise, found.elastic.share) == (False, "none", 0, 0, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{COPYPASTE: {ENABLED: true, THRES: 0.5}}", "AUGMENTOR.COPYPASTE has no THRES"),
        ("{ELASTIK: {}}", "AUGMENTOR has no ELASTIK"),
        ("{ELASTIC: {BETA: 3}}", "AUGMENTOR.ELASTIC has no BETA"),
        ("{ELASTIC: 3}", "AUGMENTOR.ELASTIC is a section"),
    ],
)
def test_what_there_is_not_is_named(tmp_path, text, message):
    with pytest.raises(PytcError, match=message):
        augmentation(given(tmp_path, text))
