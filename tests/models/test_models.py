"""Models under a name: what is registered is what is used, whole, and says what it is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from axonloom.alone import run_alone
from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from axonloom.models.card import ModelError, read_card
from axonloom.models.named import checkpoint_folder
from axonloom.models.registry import ModelRegistry, file_sha256
from axonloom.models.whole_folder import BUILDING
from axonloom.networks.checkpoint import Checkpoint
from axonloom.pytc.checkpoints import read_weights
from axonloom.training.configured import open_labelled_volumes
from axonloom.training.loop import train
from axonloom.volumes import create_volume, open_volume
from tests.state.command import Finished, axonloom
from tests.training.cells import cells

SHAPE = (32, 40, 40)
NETWORK = {
    "architecture": "residual_unet_3d",
    "parameters": {"filters": [4, 6], "isotropy": [True, True], "norm": "bn"},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image, labels, a configuration, and a network that was trained on them for a moment."""
    folder = tmp_path_factory.mktemp("project")
    for name, array in zip(("image", "labels"), cells(SHAPE), strict=True):
        volume = create_volume(
            str(folder / f"{name}.zarr"), shape=SHAPE, dtype=array.dtype, chunk=(16, 16, 16), voxel_size=(10, 8, 8)
        )
        volume.write(volume.box, array)
    given = {
        "workspace": "work",
        "volumes": {"image": {"path": "image.zarr"}, "labels": {"path": "labels.zarr"}},
        "train": {
            "network": NETWORK, "patch": [8, 16, 16], "iterations": 6, "validation": {"every": 3, "crops": 1}, "device": "cpu",
            "tensorboard": False, "threads": 1,
        },
        "infer": {"blocks": [16, 16, 16], "device": "cpu"},
    }  # fmt: skip
    (folder / "axonloom.yaml").write_text(json.dumps(given))
    configuration = load_configuration(folder / "axonloom.yaml")
    train(configuration.train, open_labelled_volumes(configuration), configuration.workspace / "checkpoints")
    return folder


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRegistry:
    """An empty folder of models, which commands use."""
    monkeypatch.setenv("AXONLOOM_MODELS", str(tmp_path / "models"))
    return ModelRegistry.of_user()


def best(project: Path) -> Path:
    return project / "work/checkpoints/best"


def register(project: Path, name: str = "cells", *more: object) -> Finished:
    return axonloom("models", "register", best(project), "--name", name, *more)


def planned(project: Path, *overrides: str) -> Chain:
    return Chain(load_configuration(project / "axonloom.yaml", overrides))


def test_a_card_says_what_the_training_knew(project, models, tmp_path):
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps({"voi": 0.75, "predicted_zero": "segment", "region": None, "segments": 12}))
    done = register(project, "cells", "--licence", "CC-BY-4.0", "--description", "Cells.", "--scores", scores)
    assert done.returncode == 0, done.stderr
    card, checkpoint = models.get("cells").card, Checkpoint.open(best(project))
    about = checkpoint.description
    assert (card.description, card.licence) == ("Cells.", "CC-BY-4.0")
    assert card.network.architecture == about.architecture
    assert card.network.weights == sum(each.numel() for each in checkpoint.build_network().state_dict().values())
    assert (card.network.patch, card.network.window) == ((8, 16, 16), (8, 16, 16))
    assert (card.images.dtype, card.images.voxel_size) == ("uint8", (10, 8, 8))
    assert (card.images.mean, card.images.std) == (about.normalisation.mean, about.normalisation.std)
    assert (card.output.representation, card.output.channels) == ("affinity", ("z", "y", "x"))
    assert card.training.iterations == checkpoint.iteration
    [volume] = card.training.data or []
    assert volume["image"].endswith("image.zarr")
    assert volume["labels"].endswith("labels.zarr")
    assert volume["held_out"] == {"start": [0, 30, 0], "stop": [32, 40, 40]}
    assert card.training.best_validation_loss == about.validation_loss
    assert card.training.best_iteration == checkpoint.iteration
    assert set(card.training.software) == {"axonloom", "torch"}
    assert card.scores == {"voi": 0.75, "segments": 12}
    assert card.files["model.safetensors"] == checkpoint.weights_sha256
    assert card == read_card(models.folder / "cells")
    # Optimizer and random state stay behind.
    assert sorted(each.name for each in (models.folder / "cells").iterdir()) == [
        "card.yaml", "model.json", "model.safetensors",
    ]  # fmt: skip


def test_the_list_and_the_card_on_the_terminal(project, models):
    assert "no models" in axonloom("models", "list").stdout
    register(project, "cells", "--licence", "CC0-1.0")
    without = register(project, "other")
    assert "no licence" in without.stdout
    shown = axonloom("models", "list").stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["name", "cells", "other"]
    assert all(part in shown[1] for part in ("residual_unet_3d", "affinity (z, y, x)", "10 x 8 x 8", "CC0-1.0"))
    found = json.loads(axonloom("models", "list", "--json").stdout)
    assert [each["name"] for each in found["models"]] == ["cells", "other"]
    text = axonloom("models", "info", "cells").stdout
    assert text.startswith("# cells\n")
    card = models.get("cells").card
    assert all(
        part in text for part in (card.files["model.json"], card.identity, "10 x 8 x 8 nm", "CC0-1.0", "image.zarr")
    )
    assert "all 2 files" in text


def test_files_that_changed_are_told(project, models):
    register(project)
    path = models.folder / "cells/model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    done = axonloom("models", "info", "cells")
    assert done.returncode == 1
    assert "model.safetensors is not what was registered" in done.stderr
    assert json.loads(axonloom("models", "info", "cells", "--json").stdout)["damage"]
    refused = axonloom("models", "export", "cells", models.folder.parent / "out")
    assert refused.returncode == 2
    assert not (models.folder.parent / "out").exists()
    path.unlink()
    assert "is missing" in axonloom("models", "info", "cells").stderr
    (models.folder / "cells/card.yaml").write_text("format_version: 1\nname: cells\n")
    listed = axonloom("models", "list")
    assert listed.returncode == 1
    assert "no whole model card" in listed.stderr
    (models.folder / "cells/card.yaml").write_text("format_version: 9\n")
    assert "install a newer one" in axonloom("models", "info", "cells").stderr


def test_a_name_is_given_once(project, models):
    register(project)
    before = models.get("cells").card
    again = register(project)
    assert again.returncode == 2
    assert "there is a model 'cells'" in again.stderr
    assert models.get("cells").card == before
    assert register(project, "cells", "--replace", "--licence", "MIT").returncode == 0
    assert models.get("cells").card.licence == "MIT"
    assert [each.name for each in models.folder.iterdir()] == ["cells"]
    for name in ("../cells", ".cells", "a b", ""):
        assert "cannot be a model's name" in register(project, name).stderr
    missing = axonloom("models", "register", project / "nothing", "--name", "x")
    assert missing.returncode == 2
    assert "does not exist" in missing.stderr
    assert models.names() == ["cells"]


def test_of_two_at_once_one_gets_the_name(project, models, monkeypatch):
    from axonloom.models import registry

    others: list[str] = []

    def other_was_faster(path: Path) -> str:
        if not others:
            others.append("first")
            models.register(best(project), "cells", licence="first")
        return file_sha256(path)

    monkeypatch.setattr(registry, "file_sha256", other_was_faster)
    with pytest.raises(ModelError, match="there is a model 'cells'"):
        models.register(best(project), "cells", licence="second")
    assert models.get("cells").card.licence == "first"
    assert [each.name for each in models.folder.iterdir()] == ["cells"]


def test_killed_while_it_copies(project, models):
    """SIGKILL to a real process when the weights are there and the card is not: nothing of that name is there."""
    kill = (
        "import os, signal, sys\n"
        "from axonloom.models import registry\n"
        "registry.file_sha256 = lambda path: os.kill(os.getpid(), signal.SIGKILL)\n"
        "registry.ModelRegistry.of_user().register(sys.argv[1], 'cells')\n"
    )
    done = subprocess.run([sys.executable, "-c", kill, str(best(project))])
    assert done.returncode == -signal.SIGKILL
    [left] = models.folder.iterdir()
    assert left.name.startswith(BUILDING)
    assert (left / "model.safetensors").exists()
    assert models.names() == []
    assert "no models" in axonloom("models", "list").stdout
    assert register(project).returncode == 0
    assert models.names() == ["cells"]


def test_a_configuration_names_a_model(project, models, monkeypatch):
    monkeypatch.chdir(project)
    register(project)
    direct = planned(project, f"infer.checkpoint={best(project)}")
    for given in ("model:cells", "cells"):
        named = planned(project, f"infer.checkpoint={given}")
        assert named.checkpoint == models.folder / "cells"
        # The same network: what was computed with it by its path counts.
        assert named.infer.fingerprint == direct.infer.fingerprint
    report = run_alone(named.infer)
    assert not report.failed
    assert open_volume(str(named.infer.folder / "affinities.zarr")).read().std() > 0
    # A folder of that name goes before.
    (project / "cells").symlink_to(best(project))
    assert planned(project, "infer.checkpoint=cells").checkpoint == project / "cells"
    assert planned(project, "infer.checkpoint=model:cells").checkpoint == models.folder / "cells"
    (project / "cells").unlink()


def test_a_model_that_is_not_there(project, models, monkeypatch):
    monkeypatch.chdir(project)
    with pytest.raises(ModelError, match=r"no model 'cells' in .*; there is none yet"):
        checkpoint_folder("model:cells")
    register(project, "neurons")
    done = axonloom("plan", "axonloom.yaml", "--set", "infer.checkpoint=model:neuron")
    assert done.returncode == 2
    assert "no model 'neuron'" in done.stderr
    assert "there are neurons" in done.stderr
    done = axonloom("plan", "axonloom.yaml", "--set", "infer.checkpoint=neuron")
    assert done.returncode == 2
    assert "model:neurons" in done.stderr
    assert axonloom("models", "info", "neuron").returncode == 2


def test_training_begins_with_a_model(project, models, tmp_path):
    register(project)
    overrides = ["train.start_from=model:cells", f"workspace={tmp_path / 'work'}", "train.iterations=1", "train.warmup=0",
                 "train.learning_rate=1e-12", "train.weight_decay=0"]  # fmt: skip
    configuration = load_configuration(project / "axonloom.yaml", overrides)
    result = train(configuration.train, open_labelled_volumes(configuration), tmp_path / "work/checkpoints")
    assert result.iteration == 1
    first = Checkpoint.open(tmp_path / "work/checkpoints/iteration_00000000")
    assert first.weights_sha256 == models.get("cells").card.files["model.safetensors"]


def test_given_away_and_registered_elsewhere(project, models, tmp_path, monkeypatch):
    register(project, "cells", "--licence", "CC0-1.0", "--description", "Cells.")
    assert axonloom("models", "export", "cells", tmp_path / "given").returncode == 0
    assert (tmp_path / "given/README.md").read_text().startswith("# cells\n")
    again = axonloom("models", "export", "cells", tmp_path / "given")
    assert again.returncode == 2
    assert "exists" in again.stderr
    first = models.get("cells").card
    monkeypatch.setenv("AXONLOOM_MODELS", str(tmp_path / "elsewhere"))
    assert axonloom("models", "register", tmp_path / "given", "--name", "theirs").returncode == 0
    second = ModelRegistry.of_user().get("theirs").card
    same = {"name", "registered"}
    assert second.model_dump(exclude=same) == first.model_dump(exclude=same)


def test_as_pytc_has_it(project, models, tmp_path):
    register(project)
    path = tmp_path / "cells.pth.tar"
    assert axonloom("models", "export", "cells", path, "--format", "pytc").returncode == 0
    weights, iteration = read_weights(path)
    checkpoint = Checkpoint.open(best(project))
    assert iteration == checkpoint.iteration
    expected = checkpoint.weights()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    wrong = axonloom("models", "export", "cells", tmp_path / "cells.pt", "--format", "pytc")
    assert ".pth.tar" in wrong.stderr
    assert "--format" in axonloom("models", "export", "cells", tmp_path / "x", "--format", "onnx").stderr


def test_as_a_program_it_predicts_the_same(project, models, tmp_path):
    register(project)
    path = tmp_path / "cells.pt"
    done = axonloom("models", "export", "cells", path, "--format", "torchscript")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()[1].removeprefix("use it with infer.model: ")
    results = []
    for k, overrides in enumerate(
        (["infer.checkpoint=model:cells"], [f"infer.checkpoint={path}", f"infer.model={said}"])
    ):
        plan = planned(project, f"workspace={tmp_path / str(k)}", *overrides).infer
        report = run_alone(plan)
        assert not report.failed
        results.append(open_volume(str(plan.folder / "affinities.zarr")).read().astype(np.int16))
    assert results[0].std() > 0
    assert np.abs(results[0] - results[1]).max() <= 1
