"""Training with PyTorch Connectomics' own configurations."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import torch

from axonloom.bad_input import BadInputError
from axonloom.networks.pytc import build_network
from axonloom.pytc.configuration import PytcConfiguration
from axonloom.pytc.training import PytcTraining, plan_training
from axonloom.training.configured import open_labelled_volumes
from axonloom.training.loop import train
from axonloom.training.loss_log import read_log
from tests.flows.test_failures import axonloom, finished
from tests.training.cells import cells

SMALL = [
    "MODEL.INPUT_SIZE", "[9, 33, 33]", "MODEL.OUTPUT_SIZE", "[9, 33, 33]", "MODEL.FILTERS", "[8, 8, 8, 8, 8]",
    "INFERENCE.INPUT_SIZE", "[9, 33, 33]", "INFERENCE.OUTPUT_SIZE", "[9, 33, 33]",
    "DATASET.IMAGE_NAME", "em.tif", "DATASET.LABEL_NAME", "ids.tif",
    "SOLVER.ITERATION_TOTAL", "2", "SOLVER.ITERATION_SAVE", "1", "SOLVER.SAMPLES_PER_BATCH", "2",
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    image, labels = cells((20, 70, 72), 7, size=12)
    tifffile.imwrite(folder / "em.tif", image)
    tifffile.imwrite(folder / "ids.tif", labels)
    return folder


def planned(shared: Path, data: Path, out: Path, name: str, *words: str, **more: object) -> PytcTraining:
    folder = shared / "oracle" / "pytc" / "configs" / "SNEMI"
    places = ["DATASET.INPUT_PATH", str(data), "DATASET.OUTPUT_PATH", str(out)]
    given = PytcConfiguration.load(
        folder / "SNEMI-Base.yaml", folder / f"SNEMI-Affinity-{name}.yaml", [*SMALL, *places, *words]
    )
    return plan_training(given, overrides=["train.device=cpu", "train.threads=1", "train.loaders=0"], **more)


@pytest.mark.parametrize(
    ("name", "channels"),
    [("UNet", 3), ("UNet-LR", 12), ("UNet-MER", 9), ("UNet-2x", 3), ("Contour-UNet-2x", 4), ("ResNet", 3)],
)
def test_its_configurations_train(shared, data, tmp_path, name, channels):
    if name.endswith("2x"):
        found = planned(shared, data, tmp_path, name, "DATASET.DATA_SCALE", "[1.0, 1.2, 1.2]")
    else:
        found = planned(shared, data, tmp_path, name)
    settings = found.configuration.train
    assert (settings.optimizer.name, settings.learning_rate, settings.schedule.shape) == (
        "sgd",
        0.02,
        "cosine_throughout",
    )
    assert settings.augment.elastic.share == 0.75
    result = train(settings, open_labelled_volumes(found.configuration), tmp_path / "run")
    assert result.iteration == 2
    description = result.checkpoint.description
    assert len(description.channels) == channels
    assert description.window == (9, 33, 33)
    assert np.isfinite(result.training_loss or np.nan)


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("UNet", ["MODEL.ARCHITECTURE", "deeplabv3a"], "MODEL.ARCHITECTURE is 'deeplabv3a'"),
        ("UNet", ["DATASET.DO_2D", "True"], "DATASET.DO_2D is True"),
        ("ResNet", ["MODEL.BACKBONE", "repvgg"], "MODEL.BACKBONE is 'repvgg'"),
        ("UNet", ["MODEL.REGU_OPT", "['Binar']"], "MODEL.REGU_OPT has 'Binar'"),
        ("UNet", ["DATASET.LABEL_NAME", "ids.tif@ids.tif"], "LABEL_NAME names 2 files, DATASET.IMAGE_NAME 1"),
        ("UNet", ["SOLVER.NAME", "Lion"], "SOLVER.NAME is 'Lion'"),
        ("UNet", ["SOLVER.LR_SCHEDULER_NAME", "Cyclic"], "LR_SCHEDULER_NAME is 'Cyclic'"),
        ("UNet", ["DATASET.IMAGE_NAME", "gone.tif"], "gone.tif"),
        ("UNet", ["DATASET.VAL_IMAGE_NAME", "em.tif"], "VAL_LABEL_NAME names 0 files, DATASET.VAL_IMAGE_NAME 1"),
        ("UNet", ["DATASET.VAL_LABEL_NAME", "ids.tif"], "VAL_LABEL_NAME names 1 files, DATASET.VAL_IMAGE_NAME 0"),
        ("UNet", ["MODEL.OUTPUT_SIZE", "[9, 9, 9]"], "keep the size"),
    ],
)
def test_what_is_not_done_is_refused_by_name(shared, data, tmp_path, name, words, message):
    with pytest.raises(BadInputError, match=message):
        planned(shared, data, tmp_path, name, *words)


VALIDATION = [
    "DATASET.VAL_IMAGE_NAME", "em.tif@em.tif", "DATASET.VAL_LABEL_NAME", "ids.tif@ids.tif",
    "DATASET.VAL_VALID_MASK_NAME", "ids.tif@ids.tif", "DATASET.VAL_PAD_SIZE", "[2, 8, 8]", "SOLVER.ITERATION_VAL", "1",
]  # fmt: skip


def test_its_validation_volumes_are_validated_on_and_choose_the_best(shared, data, tmp_path):
    found = planned(shared, data, tmp_path, "UNet", *VALIDATION)
    validation = found.configuration.train.validation
    assert (validation.every, validation.fraction, len(validation.volumes)) == (1, 0, 2)
    assert validation.volumes[1].valid is not None
    assert any(note.startswith("DATASET.VAL_PAD_SIZE [2, 8, 8] has no effect") for note in found.notes)
    volumes = open_labelled_volumes(found.configuration)
    assert [volume.only_validates for volume in volumes] == [False, True, True]
    settings = found.configuration.train.model_copy(update={"best_by": "voi"})
    result = train(settings, volumes, tmp_path / "run")
    entries = read_log(tmp_path / "run" / "loss.jsonl")
    assert [np.isfinite(entry["validation_loss"]) for entry in entries] == [True, True]
    assert result.best_scores is not None
    assert result.best_scores.voi == min(entry["scores"]["voi"] for entry in entries)


def test_its_validation_volumes_are_zoomed_too(shared, data, tmp_path):
    found = planned(shared, data, tmp_path, "UNet", *VALIDATION, "DATASET.DATA_SCALE", "[1.0, 0.5, 0.5]")
    assert {volume.image.shape for volume in open_labelled_volumes(found.configuration)} == {(20, 35, 36)}


def test_what_has_no_effect_is_said(shared, data, tmp_path):
    words = ["MODEL.MIXED_PRECESION", "True", "SOLVER.ITERATION_STEP", "4", "SYSTEM.NUM_GPUS", "4"]
    found = planned(shared, data, tmp_path, "UNet", *words)
    keys = [note.split()[0] for note in found.notes]
    assert keys == ["DATASET.PAD_SIZE", "SOLVER.ITERATION_STEP", "SYSTEM.NUM_GPUS"]
    assert found.configuration.train.precision == "bfloat16"


def test_its_checkpoint_is_gone_on_from(shared, data, tmp_path):
    checkpoint = shared / "oracle" / "pytc" / "checkpoint_00003.pth.tar"
    words = ["MODEL.FILTERS", "[8, 16, 16, 24, 32]"]
    found = planned(shared, data, tmp_path, "UNet", *words, checkpoint=checkpoint)
    assert found.configuration.train.start_from is not None
    assert train(found.configuration.train, open_labelled_volumes(found.configuration), tmp_path / "run").iteration == 2
    with pytest.raises(BadInputError, match="does not fit the network of MODEL"):
        planned(shared, data, tmp_path, "UNet", checkpoint=checkpoint)


@pytest.mark.flow
def test_from_the_command_line_and_its_checkpoint_predicts(prefect_api, shared, data, tmp_path):
    folder = shared / "oracle" / "pytc" / "configs" / "SNEMI"
    files = ["--pytc-base", folder / "SNEMI-Base.yaml", "--pytc-config", folder / "SNEMI-Affinity-UNet-LR.yaml"]
    places = ["DATASET.INPUT_PATH", data, "DATASET.OUTPUT_PATH", tmp_path, "MONITOR.LOG_OPT", "[1, 0, 0]"]
    command = ["train", *files, "--set", "train.device=cpu", "--set", "train.threads=1", *SMALL, *places]
    for _ in range(2):
        code, output = finished(axonloom(prefect_api, *command))
        assert code == 0, output
        assert "note: DATASET.PAD_SIZE [4, 64, 64] has no effect: patches lie inside the volume" in output
    made = tmp_path / "checkpoint_00002.pth.tar"
    assert f"wrote {made}" in output
    stored = torch.load(made, weights_only=True)
    assert stored["iteration"] == 2
    given = PytcConfiguration.load(folder / "SNEMI-Base.yaml", folder / "SNEMI-Affinity-UNet-LR.yaml", SMALL)
    build_network(given["MODEL"]).load_state_dict(stored["state_dict"])
    where = ["INFERENCE.INPUT_PATH", data, "INFERENCE.IMAGE_NAME", "em.tif", "INFERENCE.OUTPUT_PATH", tmp_path / "test"]
    sizes = ["INFERENCE.STRIDE", "[9, 33, 33]", "INFERENCE.PAD_SIZE", "[0, 0, 0]"]
    command = ["infer", *files, "--checkpoint", made, "--set", "infer.device=cpu", *SMALL, *where, *sizes]
    code, output = finished(axonloom(prefect_api, *command))
    assert code == 0, output
    with h5py.File(tmp_path / "test" / "result.h5") as file:
        assert file["vol0"].shape == (12, 20, 70, 72)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["SOLVER.LR_SCHEDULER_NAME", "WarmupMultiStepLR", "SOLVER.STEPS", "[1]"], ("steps", 2)),
        (["SOLVER.LR_SCHEDULER_NAME", "MultiStepLR", "SOLVER.STEPS", "[1]"], ("steps", 0)),
        (["SOLVER.LR_SCHEDULER_NAME", "ReduceLROnPlateau"], ("plateau", 0)),
        (["SOLVER.LR_SCHEDULER_NAME", "OneCycle"], ("one_cycle", 1)),
    ],
)
def test_schedules(shared, data, tmp_path, words, expected):
    settings = planned(shared, data, tmp_path, "UNet", *words).configuration.train
    assert (settings.schedule.shape, settings.warmup) == expected


def test_clipping_and_averages(shared, data, tmp_path):
    words = [
        "SOLVER.CLIP_GRADIENTS.ENABLED",
        "True",
        "SOLVER.SWA.ENABLED",
        "True",
        "SOLVER.SWA.START_ITER",
        "0",
        "SOLVER.SWA.MERGE_ITER",
        "1",
    ]
    settings = planned(shared, data, tmp_path, "UNet", *words).configuration.train
    assert (settings.gradient_value, settings.gradient_norm, settings.average.kind) == (1.0, None, "equal")
