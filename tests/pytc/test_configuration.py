"""PyTorch Connectomics' configuration files."""

from __future__ import annotations

from pathlib import Path

import pytest

from axonloom.pytc.configuration import PytcConfiguration, PytcError, names
from axonloom.pytc.targets import channel_groups

BASE = """
MODEL: {FILTERS: [8, 16], OUT_PLANES: 3, TARGET_OPT: ["2"], INPUT_SIZE: [9, 33, 33]}
DATASET: {OUTPUT_PATH: out, PAD_SIZE: [4, 8, 8]}
INFERENCE: {AUG_NUM: None, STRIDE: [4, 16, 16], PAD_SIZE: [1, 2, 3], INPUT_SIZE: [5, 17, 17]}
"""


def written(folder: Path, text: str, name: str = "base.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_files_and_words_each_over_the_one_before(tmp_path):
    base = written(tmp_path, BASE)
    file = written(tmp_path, "MODEL: {FILTERS: [4, 8]}\nSOLVER: {BASE_LR: 1}", "file.yaml")
    found = PytcConfiguration.load(
        base, file, ["MODEL.NORM_MODE", "gn", "INFERENCE.AUG_NUM", "8", "SOLVER.SWA.ENABLED", "True"]
    )
    assert found["MODEL"]["FILTERS"] == [4, 8]
    assert found["MODEL"]["NORM_MODE"] == "gn"
    assert found["MODEL"]["ACT_MODE"] == "elu"
    assert found["INFERENCE"]["AUG_NUM"] == 8
    assert found["SOLVER"]["SWA"]["ENABLED"] is True
    assert found["SOLVER"]["SWA"]["MERGE_ITER"] == 10
    assert isinstance(found["SOLVER"]["BASE_LR"], float)
    assert "MODEL.FILTERS" in found.said
    assert "MODEL.ACT_MODE" not in found.said


def test_none_written_as_text_is_none(tmp_path):
    assert PytcConfiguration.load(None, written(tmp_path, BASE))["INFERENCE"]["AUG_NUM"] is None


def test_inference_takes_what_its_section_says(tmp_path):
    found = PytcConfiguration.load(None, written(tmp_path, BASE)).for_inference()
    assert found["DATASET"]["PAD_SIZE"] == [1, 2, 3]
    assert found["MODEL"]["INPUT_SIZE"] == [5, 17, 17]
    # What it does not say stays.
    assert found["MODEL"]["OUTPUT_SIZE"] == [8, 256, 256]


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("MODEL: {FILTER: [8]}", [], "no key MODEL.FILTER; the nearest is FILTERS"),
        ("MODLE: {}", [], "no section MODLE; the nearest is MODEL"),
        ("MODEL: {FILTERS: 8}", [], r"MODEL.FILTERS is 8, where something like \[28"),
        ("MODEL: {NORM_MODE: 3}", [], "MODEL.NORM_MODE is 3"),
        ("MODEL: 3", [], "MODEL is a section"),
        ("[1]", [], "holds no sections"),
        ("a: [", [], "is not YAML"),
        ("MODEL: {}", ["MODEL.NORM_MODE"], "has no value"),
        ("MODEL: {}", ["MODEL.NORM", "gn"], "command line: there is no key MODEL.NORM;"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(tmp_path, text, words, message):
    with pytest.raises(PytcError, match=message):
        PytcConfiguration.load(None, written(tmp_path, text), words)


def test_a_missing_file(tmp_path):
    with pytest.raises(PytcError, match="does not exist"):
        PytcConfiguration.load(tmp_path / "gone.yaml", tmp_path / "gone.yaml")


def test_names_in_all_ways_of_writing(tmp_path):
    (tmp_path / "list.txt").write_text("a.tif\nb.tif\n")
    assert list(names(["a.tif", "b@c"])) == ["a.tif", "b", "c"]
    assert list(names(str(tmp_path / "list.txt"))) == ["a.tif", "b.tif"]
    assert list(names(None)) == []


def test_every_shipped_pair_is_read(shared):
    folder = shared / "oracle" / "pytc" / "configs"
    read = 0
    for base in folder.rglob("*Base*.yaml"):
        for file in base.parent.glob("*.yaml"):
            if "Base" not in file.name:
                found = PytcConfiguration.load(base, file).for_inference()
                assert found["MODEL"]["FILTERS"]
                read += 1
    assert read > 10


def test_what_the_channels_of_the_shipped_targets_mean(shared):
    folder = shared / "oracle" / "pytc" / "configs" / "SNEMI"
    found = PytcConfiguration.load(folder / "SNEMI-Base.yaml", folder / "SNEMI-Affinity-UNet-LR.yaml")
    groups = channel_groups(found)
    assert [group["offsets"][0] for group in groups] == [[1, 0, 0], [2, 0, 0], [3, 0, 0], [4, 0, 0]]
    assert groups[3]["offsets"][2] == [0, 0, 27]
    found = PytcConfiguration.load(folder / "SNEMI-Base.yaml", folder / "SNEMI-Affinity-Contour-UNet-2x.yaml")
    assert [len(group["names"]) for group in channel_groups(found)] == [3, 1]
    wrong = PytcConfiguration.load(
        folder / "SNEMI-Base.yaml", folder / "SNEMI-Affinity-UNet.yaml", ["MODEL.OUT_PLANES", "4"]
    )
    with pytest.raises(PytcError, match=r"3 channels, and MODEL\.OUT_PLANES is 4"):
        channel_groups(wrong)
