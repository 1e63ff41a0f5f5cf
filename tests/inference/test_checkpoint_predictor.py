"""From a checkpoint on disk and the settings to a predictor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from axonloom.config.infer import InferSettings
from axonloom.inference.predictor import PredictionError, load_predictor, settings_that_matter
from axonloom.networks.checkpoint import Checkpoint, ModelDescription, write_checkpoint
from axonloom.networks.normalisation import Normalisation
from axonloom.networks.registry import build

PARAMETERS = {"filters": [8, 8], "isotropy": [True, True], "norm": "gn"}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    description = ModelDescription(
        architecture="residual_unet_3d",
        parameters=PARAMETERS,
        representation="affinity",
        representation_parameters={},
        channels=("z", "y", "x"),
        normalisation=Normalisation(100.0, 50.0),
        voxel_size=None,
        patch=(9, 9, 9),
        window=(9, 17, 1),
        iteration=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build("residual_unet_3d", **PARAMETERS)
    return write_checkpoint(tmp_path, description, network.state_dict())


def test_defaults_are_resolved_into_plain_json(checkpoint: Checkpoint) -> None:
    found = settings_that_matter(InferSettings(device="cpu"), checkpoint)
    assert found["window"] == [9, 17, 1]
    assert found["stride"] == [4, 8, 1]
    assert (found["batch"], found["threads"], found["device"], found["precision"]) == (1, 1, "cpu", "float32")
    assert found["torch"] == str(torch.__version__)
    assert json.loads(json.dumps(found)) == found


def test_what_changes_no_byte_does_not_matter(checkpoint: Checkpoint) -> None:
    plain = settings_that_matter(InferSettings(device="cpu"), checkpoint)
    same = InferSettings(device="cpu", blocks=(64, 64, 64), checkpoint=Path("elsewhere"))
    assert settings_that_matter(same, checkpoint) == plain
    for change in (
        {"batch": 2},
        {"threads": 2},
        {"precision": "bfloat16"},
        {"blending": "bump"},
        {"window": (9, 9, 9)},
    ):
        assert settings_that_matter(InferSettings(device="cpu", **change), checkpoint) != plain


def test_the_predictor_is_the_trained_network_with_its_normalisation_and_activation(checkpoint: Checkpoint) -> None:
    predictor = load_predictor(checkpoint, settings_that_matter(InferSettings(device="cpu"), checkpoint))
    assert predictor.channels == 3
    raw = np.random.default_rng(0).integers(0, 256, (1, 9, 17, 17), dtype=np.uint8)
    found = predictor.predict(predictor.normalised(raw)[None]).numpy()
    with torch.no_grad():
        logits = checkpoint.build_network()(torch.from_numpy(((raw - 100.0) / 50.0).astype(np.float32))[None])
    np.testing.assert_allclose(found, torch.sigmoid(logits).numpy(), atol=1e-5)


def test_another_version_of_torch_is_refused(checkpoint: Checkpoint) -> None:
    begun = settings_that_matter(InferSettings(device="cpu"), checkpoint) | {"torch": "2.0.1"}
    with pytest.raises(PredictionError, match=r"begun with torch 2\.0\.1"):
        load_predictor(checkpoint, begun)


def test_a_stride_beyond_the_window_is_refused_where_the_window_is_known(checkpoint: Checkpoint) -> None:
    with pytest.raises(ValidationError, match="leave gaps"):
        InferSettings(window=(8, 8, 8), stride=(8, 9, 8))
    with pytest.raises(PredictionError, match="leave gaps"):
        settings_that_matter(InferSettings(stride=(9, 17, 2)), checkpoint)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"window": (0, 8, 8)}, {"device": "tpu"}, {"windows": (8, 8, 8)}])
def test_wrong_settings_are_errors(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        InferSettings(**wrong)


def test_every_setting_says_what_it_is() -> None:
    for name, field in InferSettings.model_fields.items():
        assert field.description, name
        assert not field.is_required(), name
