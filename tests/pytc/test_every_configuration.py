"""Every configuration that PyTorch Connectomics ships for neurons and synapses: mapped, trained and predicted with, or refused by name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from axonloom.alone import run_alone
from axonloom.bad_input import BadInputError
from axonloom.chain import Chain
from axonloom.pytc.configuration import PytcConfiguration
from axonloom.pytc.export import checkpoint_name, export_checkpoint
from axonloom.pytc.importing import import_configuration
from axonloom.pytc.inference import finish_inference, plan_inference
from axonloom.pytc.training import plan_training
from axonloom.training.configured import open_labelled_volumes
from axonloom.training.loop import TrainingResult, train
from axonloom.volumes import open_volume
from tests.training.cells import cells
from tests.volumes.test_tiles import write_tiles

#: File -> channels of its network, or why it is refused (a pattern). Those called Base stand alone here; others go with theirs.
FILES: dict[str, int | str] = {
    "SNEMI/SNEMI-Base.yaml": 3,
    "SNEMI/SNEMI-Base_multiGPU.yaml": 3,
    "SNEMI/SNEMI-Affinity-UNet.yaml": 3,
    "SNEMI/SNEMI-Affinity-UNet-2x.yaml": 3,
    "SNEMI/SNEMI-Affinity-UNet-LR.yaml": 12,
    "SNEMI/SNEMI-Affinity-UNet-MER.yaml": 9,
    "SNEMI/SNEMI-Affinity-Contour-UNet-2x.yaml": 4,
    "SNEMI/SNEMI-Affinity-ResNet.yaml": 3,
    "SNEMI/SNEMI-Affinity-EffNet.yaml": 3,
    "SNEMI/SNEMI-Affinity-UNETR.yaml": 3,
    "SNEMI/SNEMI-Affinity-SwinUNETR.yaml": 3,
    "JWR15/neuron/JWR15-Neuron-Base.yaml": 3,
    "JWR15/neuron/JWR15-Neuron-Affinity-UNet-MER.yaml": 9,
    # It leaves losses and their activations to the files that go with it, and the defaults of these do not go together.
    "JWR15/synapse/JWR15-Synapse-Base.yaml": "MODEL.OUTPUT_ACT of WeightedBCE for target '1' is 'none'",
    "JWR15/synapse/JWR15-Synapse-BCE.yaml": 3,
    "JWR15/synapse/JWR15-Synapse-BCE-DICE.yaml": 3,
    "JWR15/synapse/JWR15-Synapse-BCE-DICE-Regu.yaml": 3,
    "JWR15/synapse/JWR15-Synapse-Semantic-CE.yaml": 3,
}
MAPPED = [name for name, what in FILES.items() if isinstance(what, int)]
#: Trained for two iterations and not looked at further, in every run of the tests.
QUICK = ["JWR15/neuron/JWR15-Neuron-Affinity-UNet-MER.yaml", "JWR15/synapse/JWR15-Synapse-Semantic-CE.yaml"]
#: Sizes alone.
SMALL = [
    "MODEL.INPUT_SIZE", "[9, 33, 33]", "MODEL.OUTPUT_SIZE", "[9, 33, 33]", "MODEL.FILTERS", "[8, 8, 8, 8, 8]",
    "INFERENCE.INPUT_SIZE", "[9, 33, 33]", "INFERENCE.OUTPUT_SIZE", "[9, 33, 33]", "INFERENCE.STRIDE", "[8, 32, 32]",
    "INFERENCE.PAD_SIZE", "[0, 0, 0]", "DATASET.DATA_CHUNK_NUM", "[1, 2, 2]",
]  # fmt: skip
#: What halves a window again and again needs other sizes.
HALVED = [word.replace("9, 33, 33", "32, 32, 64").replace("8, 32, 32", "32, 32, 32") for word in SMALL] + [
    "MODEL.UNETR_FEATURE_SIZE", "8", "MODEL.HIDDEN_SIZE", "48", "MODEL.MLP_DIM", "96", "MODEL.UNETR_NUM_HEADS", "4",
    "MODEL.SWIN_UNETR_FEATURE_SIZE", "12",
]  # fmt: skip
SHAPE = (36, 68, 70)


def sizes(name: str) -> list[str]:
    """Sizes that a configuration's network takes."""
    return HALVED if "UNETR" in name else SMALL


def folder(shared: Path) -> Path:
    return shared / "oracle" / "pytc" / "configs"


def loaded(shared: Path, name: str, *words: str) -> PytcConfiguration:
    file = folder(shared) / name
    if "Base" in file.name:
        return PytcConfiguration.load(None, file, words)
    (base,) = file.parent.glob("*-Base.yaml")
    return PytcConfiguration.load(base, file, words)


def test_none_is_forgotten(shared):
    there = {str(path.relative_to(folder(shared))) for path in folder(shared).rglob("*.yaml")}
    assert there == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_each_is_mapped_or_refused_with_the_reason(shared, name):
    given, expected = loaded(shared, name), FILES[name]
    found = import_configuration(given)
    if isinstance(expected, str):
        assert found.settings == {}
        assert any(re.search(re.escape(expected), sentence) for sentence in found.refused), found.refused
        with pytest.raises(BadInputError, match=re.escape(expected)):
            plan_training(given)
        return
    assert found.refused == ()
    assert sum(channels_of(target) for target in found.settings["train"]["targets"]) == expected
    # No key is passed over.
    said = {note.split()[0] for note in found.notes}
    assert given.said <= set(found.mapped) | said
    assert not said & set(found.mapped)


def channels_of(target: dict) -> int:
    kinds = {"contour": 1, "polarity": 3}
    return kinds[target["kind"]] if target["kind"] in kinds else len(target["parameters"]["offsets"])


def written(shared: Path, name: str, place: Path) -> list[str]:
    """Images and labels by the names that a configuration has for them, and keys for where they lie."""
    dataset = loaded(shared, name)["DATASET"]
    images, labels = (
        names if isinstance(names, list) else [names] for names in (dataset["IMAGE_NAME"], dataset["LABEL_NAME"])
    )
    for number, (image_name, label_name) in enumerate(zip(images, labels, strict=True)):
        for path, array in zip((image_name, label_name), cells(SHAPE, number, size=12), strict=True):
            array = array % 3 if "Synapse" in name and path == label_name else array
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            if path.endswith(".h5"):
                with h5py.File(place / path, "w") as file:
                    file["main"] = array
            else:
                tifffile.imwrite(place / path, array)
    grey, _ = cells(SHAPE, 9, size=12)
    tifffile.imwrite(place / "test-input.tif", grey)
    write_tiles(place / "tiles", grey)
    (place / "jwr15.json").write_text(
        json.dumps(
            {
                **(listed := json.loads((place / "tiles" / "tiles.json").read_text())),
                "image": [f"tiles/{n}" for n in listed["image"]],
            }
        )
    )
    places = ["DATASET.INPUT_PATH", "INFERENCE.INPUT_PATH"]
    keys = [word for key in places for word in (key, str(place))]
    return [*keys, "DATASET.OUTPUT_PATH", str(place / "out"), "INFERENCE.OUTPUT_PATH", str(place / "out" / "test")]


def trained(given: PytcConfiguration, place: Path) -> TrainingResult:
    planned = plan_training(given, overrides=["train.device=cpu", "train.threads=1", "train.loaders=0"])
    return train(planned.configuration.train, open_labelled_volumes(planned.configuration), place / "run")


@pytest.mark.parametrize("name", QUICK)
def test_some_train(shared, tmp_path, name):
    words = [*written(shared, name, tmp_path), *SMALL, "SOLVER.ITERATION_TOTAL", "2"]
    result = trained(loaded(shared, name, *words), tmp_path)
    assert (result.iteration, len(result.checkpoint.description.channels)) == (2, FILES[name])
    assert np.isfinite(result.training_loss)


def test_tiles_and_chunk_titles_in_training(shared, tmp_path):
    """The image of inference as that of training: a list of tiles, read patch by patch."""
    name = "JWR15/neuron/JWR15-Neuron-Affinity-UNet-MER.yaml"
    words = written(shared, name, tmp_path)
    _, ids = cells(SHAPE, 9, size=12)
    colours = np.stack([np.zeros_like(ids), ids >> 8, ids & 255], -1).astype(np.uint8)
    write_tiles(tmp_path / "ids", colours, ndim=3, dtype="uint32")
    more = ["DATASET.IMAGE_NAME", "jwr15.json", "DATASET.LABEL_NAME", "ids/tiles.json", "DATASET.DO_CHUNK_TITLE", "1"]
    scale = ["DATASET.DATA_SCALE", "[1.0, 1.0, 1.0]", "SOLVER.ITERATION_TOTAL", "2"]
    given = loaded(shared, name, *words, *SMALL, *more, *scale)
    planned = plan_training(
        given, overrides=["train.device=cpu", "train.threads=1", "train.loaders=0", "train.cache=0"]
    )
    assert any(note.startswith("DATASET.DO_CHUNK_TITLE 1 has no effect") for note in planned.notes)
    (volume,) = open_labelled_volumes(planned.configuration)
    assert (volume.image.format, volume.labels.format) == ("tiles", "tiles")
    np.testing.assert_array_equal(volume.labels.read(), ids)
    assert train(planned.configuration.train, [volume], tmp_path / "run").iteration == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", MAPPED)
def test_each_that_is_mapped_trains_predicts_and_writes_its_result(shared, tmp_path, name):
    words = [*written(shared, name, tmp_path), *sizes(name), "SOLVER.ITERATION_TOTAL", "20"]
    given = loaded(shared, name, *words)
    result = trained(given, tmp_path)
    assert result.iteration == 20
    assert np.isfinite(result.training_loss)
    checkpoint = tmp_path / checkpoint_name(20)
    export_checkpoint(result.checkpoint, checkpoint)
    planned = plan_inference(given, checkpoint, ["infer.device=cpu"])
    stages = [Chain(configuration).infer for configuration in planned.configurations]
    for stage in stages:
        report = run_alone(stage)
        assert not report.failed, report.failed
    assert finish_inference(planned, [s.folder for s in stages], [s.fingerprint for s in stages])
    shape = open_volume(planned.configurations[0].volumes.image.path).shape
    found = np.zeros((FILES[name], *shape), np.uint8)
    for path, box in planned.result.files(shape):
        with h5py.File(path) as file:
            found[(slice(None), *box.slices)] = file["vol0"][:]
    assert found.std(axis=(1, 2, 3)).min() > 0
