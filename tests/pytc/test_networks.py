"""PyTorch Connectomics' configurations of other networks than the 3-D U-Nets: EfficientNet, sections, transformers, 0.20's."""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import torch

from axonloom.alone import run_alone
from axonloom.bad_input import BadInputError
from axonloom.chain import Chain
from axonloom.networks.pytc import build_network
from axonloom.pytc.configuration import PytcConfiguration
from axonloom.pytc.export import export_checkpoint
from axonloom.pytc.importing import import_configuration
from axonloom.pytc.inference import finish_inference, plan_inference
from axonloom.pytc.training import PytcTraining, plan_training
from axonloom.training.configured import open_labelled_volumes
from axonloom.training.loop import train
from tests.training.cells import cells

QUICK = ["SOLVER.ITERATION_TOTAL", "2", "SOLVER.ITERATION_SAVE", "1", "SOLVER.SAMPLES_PER_BATCH", "1"]
NAMES = ["DATASET.IMAGE_NAME", "em.tif", "DATASET.LABEL_NAME", "ids.tif"]
SECTIONS = [
    "MODEL.ARCHITECTURE", "unet_2d", "DATASET.DO_2D", "True", "MODEL.OUT_PLANES", "2", "MODEL.FILTERS", "[16, 16, 16]",
]  # fmt: skip
UNETR = [
    "MODEL.HIDDEN_SIZE", "24", "MODEL.MLP_DIM", "32", "MODEL.UNETR_NUM_HEADS", "2", "MODEL.UNETR_FEATURE_SIZE", "4",
]  # fmt: skip
SWIN = [
    "MODEL.SWIN_UNETR_FEATURE_SIZE", "12", "MODEL.DEPTHS", "(1, 1, 1, 1)", "MODEL.SWIN_UNETR_NUM_HEADS", "(1, 1, 1, 1)",
]  # fmt: skip


def sized(patch: list[int], window: list[int] | None = None) -> list[str]:
    return [
        word
        for name in ("INPUT_SIZE", "OUTPUT_SIZE")
        for word in (f"MODEL.{name}", str(patch), f"INFERENCE.{name}", str(window or patch))
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    image, labels = cells((36, 72, 76), 7, size=12)
    tifffile.imwrite(folder / "em.tif", image)
    tifffile.imwrite(folder / "ids.tif", labels)
    return folder


def given(shared: Path, data: Path, out: Path, name: str, *words: str) -> PytcConfiguration:
    folder = shared / "oracle" / "pytc" / "configs" / "SNEMI"
    places = ["DATASET.INPUT_PATH", str(data), "DATASET.OUTPUT_PATH", str(out)]
    return PytcConfiguration.load(
        folder / "SNEMI-Base.yaml", folder / f"SNEMI-Affinity-{name}.yaml", [*QUICK, *NAMES, *places, *words]
    )


def planned(*about: object) -> PytcTraining:
    return plan_training(given(*about), overrides=["train.device=cpu", "train.threads=1", "train.loaders=0"])


def trained_and_predicted(
    shared: Path, data: Path, out: Path, name: str, *words: str
) -> tuple[PytcTraining, np.ndarray]:
    """Two iterations, the checkpoint in PyTorch Connectomics' layout, and the volume predicted with it."""
    plan = planned(shared, data, out, name, *words)
    result = train(plan.configuration.train, open_labelled_volumes(plan.configuration), out / "run")
    assert result.iteration == 2
    assert np.isfinite(result.training_loss or np.nan)
    export_checkpoint(result.checkpoint, out / "two.pth.tar")
    where = ["INFERENCE.IMAGE_NAME", "em.tif", "INFERENCE.OUTPUT_PATH", str(out / "test")]
    inference = plan_inference(
        given(shared, data, out, name, *words, *where, "INFERENCE.PAD_SIZE", "[0, 0, 0]"),
        out / "two.pth.tar",
        ["infer.device=cpu"],
    )
    stages = [Chain(configuration).infer for configuration in inference.configurations]
    for stage in stages:
        assert not run_alone(stage).failed
    finish_inference(inference, [s.folder for s in stages], [s.fingerprint for s in stages])
    with h5py.File(inference.result.path) as file:
        return plan, file["vol0"][:]


def test_efficientnet_trains_and_predicts(shared, data, tmp_path):
    words = ["MODEL.FILTERS", "[8, 8, 8, 8, 8]", *sized([9, 33, 33]), "INFERENCE.STRIDE", "[9, 33, 33]"]
    _, found = trained_and_predicted(shared, data, tmp_path, "EffNet", *words)
    assert found.shape == (3, 36, 72, 76)
    assert all(len(np.unique(channel)) > 1 for channel in found)


@pytest.mark.parametrize("patch", [[1, 33, 33], [3, 33, 33]])
def test_sections_train_and_predict(shared, data, tmp_path, patch):
    words = [*SECTIONS, *sized(patch), "INFERENCE.STRIDE", "[1, 33, 33]"]
    plan, found = trained_and_predicted(shared, data, tmp_path, "UNet", *words)
    (target,) = plan.configuration.train.targets
    assert target.parameters["offsets"] == [[0, 1, 0], [0, 0, 1]]
    assert found.shape == (2, 36, 72, 76)
    # A section that is alone in its volume is predicted as it was among the others.
    image = tifffile.imread(data / "em.tif")
    alone = tmp_path / "alone"
    alone.mkdir()
    tifffile.imwrite(alone / "em.tif", image[20:21])
    where = ["INFERENCE.INPUT_PATH", str(alone), "INFERENCE.IMAGE_NAME", "em.tif", "INFERENCE.OUTPUT_PATH", str(alone)]
    one = [*SECTIONS, *sized([1, 33, 33]), "INFERENCE.STRIDE", "[1, 33, 33]", "INFERENCE.PAD_SIZE", "[0, 0, 0]"]
    inference = plan_inference(
        given(shared, data, tmp_path, "UNet", *one, *where), tmp_path / "two.pth.tar", ["infer.device=cpu"]
    )
    (stage,) = [Chain(configuration).infer for configuration in inference.configurations]
    assert not run_alone(stage).failed
    finish_inference(inference, [stage.folder], [stage.fingerprint])
    with h5py.File(inference.result.path) as file:
        difference = np.abs(file["vol0"][:, 0].astype(int) - found[:, 20])
    assert difference.max() <= 1


def test_what_does_not_go_with_sections_is_refused(shared, data, tmp_path):
    for words, says in (
        (
            ["DATASET.DO_2D", "True"],
            "DATASET.DO_2D is True, and MODEL.ARCHITECTURE 'unet_3d' is no network of sections",
        ),
        ([*SECTIONS, "MODEL.TARGET_OPT", "['a-0-40-16-16']"], "'a-0-40-16-16', which looks across sections"),
    ):
        with pytest.raises(BadInputError, match=says):
            planned(shared, data, tmp_path, "UNet", *words)
        refused = import_configuration(given(shared, data, tmp_path, "UNet", *words)).refused
        assert any(says in sentence for sentence in refused)


def test_unetr_trains_and_predicts_with_windows_of_one_size(shared, data, tmp_path):
    pytest.importorskip("monai")
    words = [*UNETR, *sized([16, 32, 32], [16, 64, 64]), "INFERENCE.STRIDE", "[16, 32, 32]"]
    plan, found = trained_and_predicted(shared, data, tmp_path, "UNETR", *words)
    assert found.shape == (3, 36, 72, 76)
    assert plan.configuration.train.window == (16, 32, 32)
    notes = " ".join(plan.notes)
    assert "weights of PyTorch Connectomics' do not fit it" in notes
    assert "INFERENCE.INPUT_SIZE has no effect: unetr sees windows of MODEL.INPUT_SIZE alone" in notes


def test_swinunetr_trains(shared, data, tmp_path):
    pytest.importorskip("monai")
    plan = planned(shared, data, tmp_path, "SwinUNETR", *SWIN, *sized([32, 64, 64]))
    assert {note.split()[0] for note in plan.notes} >= {"MODEL.ISOTROPY", "MODEL.FILTERS", "MODEL.NORM_MODE"}
    settings = plan.configuration.train
    assert settings.network.parameters["second_version"] is True
    result = train(settings, open_labelled_volumes(plan.configuration), tmp_path / "run")
    assert result.iteration == 2


@pytest.mark.parametrize("name", ["UNETR", "SwinUNETR"])
def test_transformers_are_mapped_or_said(shared, data, tmp_path, name):
    pytest.importorskip("monai")
    configuration = given(shared, data, tmp_path, name)
    found = import_configuration(configuration)
    assert not found.refused
    assert set(found.mapped) | {note.split()[0] for note in found.notes} >= configuration.said


@pytest.mark.parametrize("name", ["UNETR", "SwinUNETR"])
def test_transformers_are_refused_by_name_without_monai(shared, data, tmp_path, name, monkeypatch):
    for module in [module for module in sys.modules if module.split(".")[0] in ("monai", "einops")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "monai", None)
    with pytest.raises(BadInputError, match=rf"MODEL\.ARCHITECTURE is '{name.lower()}'.*axonloom\[monai\]"):
        planned(shared, data, tmp_path, name)


def test_weights_of_0_20_predict(shared, data, tmp_path):
    words = [
        "MODEL.ARCHITECTURE", "unet_residual_3d", "MODEL.PAD_MODE", "rep", "MODEL.NORM_MODE", "bn", "MODEL.FILTERS",
        "[4, 4, 4, 6, 6]", *sized([8, 32, 32]), "INFERENCE.STRIDE", "[8, 32, 32]", "INFERENCE.PAD_SIZE", "[0, 0, 0]",
        "INFERENCE.IMAGE_NAME", "em.tif", "INFERENCE.OUTPUT_PATH", str(tmp_path / "test"),
    ]  # fmt: skip
    configuration = given(shared, data, tmp_path, "UNet", *words)
    weights = build_network(configuration["MODEL"]).state_dict()
    torch.save({"iteration": 5, "state_dict": weights}, tmp_path / "old.pth.tar")
    inference = plan_inference(configuration, tmp_path / "old.pth.tar", ["infer.device=cpu"])
    (stage,) = [Chain(each).infer for each in inference.configurations]
    assert not run_alone(stage).failed
    finish_inference(inference, [stage.folder], [stage.fingerprint])
    with h5py.File(inference.result.path) as file:
        assert file["vol0"].shape == (3, 36, 72, 76)
    without = given(shared, data, tmp_path, "UNet", *words, "INFERENCE.OUTPUT_ACT", "['none']")
    with pytest.raises(BadInputError, match="unet_residual_3d ends in a sigmoid"):
        plan_inference(without, tmp_path / "old.pth.tar", ["infer.device=cpu"])
