"""Each key of PyTorch Connectomics is mapped, said to have no effect, shown, refused, or read by inference: one of these."""

from __future__ import annotations

import pytest

from axonloom.pytc.configuration import PytcConfiguration, PytcError
from axonloom.pytc.defaults import DEFAULTS
from axonloom.pytc.importing import import_configuration
from axonloom.pytc.keys import MAPPED, REFUSED, SHOWN, WITHOUT_EFFECT, is_mapped, leaves, not_in_file
from axonloom.pytc.training import require_grey_levels, require_possible

KEYS = [key for section, values in DEFAULTS.items() for key in leaves(section, values)]
#: What `axonloom infer --pytc-config` reads of its section.
OF_INFERENCE = [key for key in KEYS if key.startswith("INFERENCE.") and key not in MAPPED]


@pytest.mark.parametrize("key", KEYS)
def test_each_key_has_one_place(key):
    places = [key in each for each in (MAPPED, WITHOUT_EFFECT, SHOWN, REFUSED, OF_INFERENCE)]
    assert places.count(True) == 1


def test_no_key_is_made_up():
    assert set(KEYS) >= MAPPED | set(WITHOUT_EFFECT) | SHOWN | set(REFUSED)


def test_defaults_are_what_has_no_effect_and_is_not_refused(tmp_path):
    given = loaded(tmp_path, "MODEL: {ARCHITECTURE: unet_3d}")
    require_possible(given)
    require_grey_levels(given)
    for table in (WITHOUT_EFFECT, REFUSED):
        for key, entry in table.items():
            allowed = entry[0] if table is WITHOUT_EFFECT else entry
            if key in ("DATASET.PAD_SIZE", "SYSTEM.NUM_GPUS"):
                continue  # of these the default itself has none
            found = DEFAULTS
            for name in key.split("."):
                found = found[name]
            assert found in allowed, key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("DATASET: {MEAN: 0.4}", "DATASET.MEAN is 0.4"),
        ("DATASET: {MATCH_ACT: sigmoid}", "DATASET.MATCH_ACT is 'sigmoid'"),
        ("DATASET: {DATA_CHUNK_IND: [0]}", r"DATASET.DATA_CHUNK_IND is \[0\]"),
        ("DATASET: {DATA_COORD_RANGE: [[0, 1]]}", "DATASET.DATA_COORD_RANGE is"),
        ("DATASET: {VAL_LABEL_NAME: a.tif}", "DATASET.VAL_LABEL_NAME names 1 files, DATASET.VAL_IMAGE_NAME 0"),
        ("DATASET: {LABEL_SCALE: [1, 2]}", r"DATASET.LABEL_SCALE is \[1, 2\]"),
        ("DATASET: {DATA_SCALE: [1, 0, 2]}", "three numbers above 0"),
        ("SOLVER: {CLIP_GRADIENTS: {NORM_TYPE: 1}}", "SOLVER.CLIP_GRADIENTS.NORM_TYPE is 1"),
        ("MODEL: {OUT_PLANES: 4}", "has 1 channels, and MODEL.OUT_PLANES is 4"),
        ("MODEL: {ARCHITECTURE: fpn_3d, BACKBONE: none_such}", "none_such"),
        ("MODEL: {FILTERS: [8]}", "filters"),
    ],
)
def test_what_would_give_another_network_is_refused(tmp_path, text, message):
    fine = "LOSS_OPTION: [[WeightedBCEWithLogitsLoss]]"
    given = loaded(
        tmp_path, text.replace("MODEL: {", f"MODEL: {{{fine}, ") if "MODEL" in text else f"MODEL: {{{fine}}}\n{text}"
    )
    import re

    assert any(re.search(message, sentence) for sentence in import_configuration(given).refused)


def test_said_where_it_went(tmp_path):
    text = """
MODEL: {LOSS_OPTION: [[WeightedBCEWithLogitsLoss]], EMBEDDING: 2}
DATASET: {IMAGE_NAME: a.tif, LABEL_NAME: b.tif, IMAGE_SCALE: [1, 2, 2]}
MONITOR: {VIS_OPT: [1, 8]}
INFERENCE: {OUTPUT_NAME: x.h5, STRIDE: [4, 8, 8]}
"""
    found = import_configuration(loaded(tmp_path, text))
    assert found.refused == ()
    said = {note.split()[0]: note for note in found.notes}
    assert set(said) == {"MODEL.EMBEDDING", "DATASET.IMAGE_SCALE", "MONITOR.VIS_OPT", "INFERENCE.OUTPUT_NAME"}
    assert "axonloom infer --pytc-config" in said["INFERENCE.OUTPUT_NAME"]
    assert set(found.mapped) == {"MODEL.LOSS_OPTION", "DATASET.IMAGE_NAME", "DATASET.LABEL_NAME", "INFERENCE.STRIDE"}
    assert not_in_file("INFERENCE.STRIDE") is None
    assert is_mapped("AUGMENTOR.ELASTIC.P")


def loaded(tmp_path, text: str) -> PytcConfiguration:
    (tmp_path / "config.yaml").write_text(text)
    try:
        return PytcConfiguration.load(None, tmp_path / "config.yaml")
    except PytcError as error:
        raise AssertionError(str(error)) from error
