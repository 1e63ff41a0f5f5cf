"""Checkpoints are whole or not there, and damage is found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from axonloom.networks.checkpoint import Checkpoint, CheckpointError, ModelDescription, write_checkpoint
from axonloom.networks.checkpoint_folder import BEST, LAST, checkpoint_paths, linked, newest_good, point, prune
from axonloom.networks.normalisation import Normalisation
from axonloom.networks.registry import build

PARAMETERS = {"filters": [8, 8], "isotropy": [True, True], "norm": "bn"}


def description(iteration: int = 7, **changes: object) -> ModelDescription:
    values = {
        "architecture": "residual_unet_3d",
        "parameters": PARAMETERS,
        "representation": "affinity",
        "representation_parameters": {"erosion": 1},
        "channels": ("z", "y", "x"),
        "normalisation": Normalisation(120.5, 33.25),
        "voxel_size": (30.0, 6.0, 6.0),
        "patch": (16, 16, 16),
        "window": (32, 32, 32),
        "iteration": iteration,
        "training_loss": 0.5,
        "settings": {"seed": 3},
    }
    return ModelDescription(**{**values, **changes})  # type: ignore[arg-type]


def written(folder: Path, iteration: int = 7, **changes: object) -> tuple[Checkpoint, torch.nn.Module]:
    network = build("residual_unet_3d", **PARAMETERS)
    training = {"optimizer": {"state": {0: {"step": torch.tensor(3.0)}}}, "rng": torch.get_rng_state(), "best": None}
    return write_checkpoint(folder, description(iteration, **changes), network.state_dict(), training), network


def test_round_trip(tmp_path: Path) -> None:
    first, network = written(tmp_path)
    again = Checkpoint.open(tmp_path / "iteration_00000007")
    assert again == first
    assert again.description == description()
    assert again.representation().margin == ((1, 2, 2), (0, 1, 1))
    image = torch.randn(1, 1, 8, 8, 8)
    with torch.no_grad():
        assert torch.equal(again.build_network()(image), network.eval()(image))
    state = again.training_state()
    assert torch.equal(state["optimizer"]["state"][0]["step"], torch.tensor(3.0))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["iteration_00000007"]


def test_weights_in_another_memory_format_are_the_same(tmp_path: Path) -> None:
    network = build("residual_unet_3d", **PARAMETERS)
    plain = write_checkpoint(tmp_path / "a", description(), network.state_dict())
    network.to(memory_format=torch.channels_last_3d)
    assert write_checkpoint(tmp_path / "b", description(), network.state_dict()).weights_sha256 == plain.weights_sha256


def test_identity_is_what_decides_a_prediction(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = build("residual_unet_3d", **PARAMETERS).state_dict()

    def identity(**changes: object) -> str:
        return write_checkpoint(tmp_path, description(**changes), weights).identity()  # type: ignore[arg-type]

    same = identity()
    assert identity(iteration=8, training_loss=0.1, settings={}) == same
    assert identity(normalisation=Normalisation(0, 1)) != same
    assert identity(representation_parameters={"erosion": 0}) != same
    weights["conv_out.0.bias"] += 1
    assert identity() != same


@pytest.mark.parametrize("name", ["model.safetensors", "training.pt", "model.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "remove"])
def test_damage_is_found_and_skipped(tmp_path: Path, name: str, damage: str) -> None:
    older, _ = written(tmp_path, 100)
    newer, _ = written(tmp_path, 200)
    path = newer.folder / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes({"flip": bytes(content), "cut": bytes(content[:-9]), "empty": b"", "remove": b""}[damage])
    if damage == "remove":
        path.unlink()
    with pytest.raises(CheckpointError, match="iteration_00000200"):
        Checkpoint.open(newer.folder).training_state()
    found = newest_good(tmp_path)
    assert found.checkpoint == older
    assert len(found.skipped) == 1
    assert "iteration_00000200" in found.skipped[0]
    assert "\n" not in found.skipped[0]
    # Writing the iteration again mends it.
    written(tmp_path, 200)
    assert newest_good(tmp_path).checkpoint.iteration == 200  # type: ignore[union-attr]


def test_unknown_and_newer_checkpoints_are_refused(tmp_path: Path) -> None:
    checkpoint, _ = written(tmp_path)
    with pytest.raises(CheckpointError, match=r"name one.*iteration_00000007"):
        Checkpoint.open(tmp_path)
    with pytest.raises(CheckpointError, match="nowhere does not exist"):
        Checkpoint.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no checkpoint"):
        Checkpoint.open(tmp_path / "empty")
    path = checkpoint.folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 2}))
    with pytest.raises(CheckpointError, match="install a newer"):
        Checkpoint.open(checkpoint.folder)


def test_links_and_pruning(tmp_path: Path) -> None:
    for iteration in (10, 20, 30, 40, 50):
        checkpoint, _ = written(tmp_path, iteration)
        point(tmp_path, LAST, checkpoint.folder)
        if iteration == 20:
            point(tmp_path, BEST, checkpoint.folder)
    (tmp_path / ".partial_x").mkdir()
    gone = prune(tmp_path, keep=2)
    assert [path.name for path in gone] == ["iteration_00000010", "iteration_00000030"]
    assert [path.name[-2:] for path in checkpoint_paths(tmp_path)] == ["20", "40", "50"]
    assert os.readlink(tmp_path / BEST) == "iteration_00000020"
    assert Checkpoint.open(tmp_path / LAST).iteration == 50
    assert linked(tmp_path, "worst") is None
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert Checkpoint.open(moved / BEST).iteration == 20
    assert not list(moved.glob(".partial*"))


def test_kill_while_writing_never_leaves_half_a_checkpoint(tmp_path: Path) -> None:
    """SIGKILL at random moments: what carries the name of a checkpoint is one."""
    script = (
        "import sys, torch\n"
        "from tests.networks.test_checkpoint import description\n"
        "from axonloom.networks.checkpoint import write_checkpoint\n"
        "weights = {'a': torch.arange(400_000.)}\n"
        "print('ready', flush=True)\n"
        "for i in range(1, 100_000):\n"
        "    write_checkpoint(sys.argv[1], description(i % 7), weights, {'state': torch.arange(400_000.)})\n"
    )
    random = np.random.default_rng(0)
    root = Path(__file__).resolve().parents[2]
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, cwd=root, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3 + 0.3 * random.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        paths = checkpoint_paths(tmp_path)
        assert paths
        for path in paths:
            Checkpoint.open(path).verify()
