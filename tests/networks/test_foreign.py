"""Networks from elsewhere: the same prediction as by the network that they were made from."""

from __future__ import annotations

import io
import json
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from axonloom.alone import run_alone
from axonloom.chain import Chain
from axonloom.config.load import ConfigurationError, load_configuration
from axonloom.config.model import ModelSettings
from axonloom.inference.blockwise import predict_block
from axonloom.inference.lattice import WindowLattice
from axonloom.inference.predictor import PredictionError, Predictor
from axonloom.networks.checkpoint import CheckpointError
from axonloom.networks.foreign import ForeignCheckpoint
from axonloom.networks.normalisation import Normalisation
from axonloom.volumes import create_volume, open_volume
from tests.inference.arrays import ArrayVolume, small_network

SHAPE, WINDOW = (20, 40, 44), (8, 16, 16)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, SHAPE, dtype=np.uint8)


def saved(folder: Path, ending: str) -> Path:
    network, example = small_network().eval(), torch.zeros(1, 1, *WINDOW)
    path = folder / f"net{ending}"
    if ending == ".pt2":
        torch.export.save(torch.export.export(network, (example,)), path)
    else:
        torch.jit.save(torch.jit.trace(network, example), path)
    return path


def chain(folder: Path, image: np.ndarray, checkpoint: Path, **model: object) -> Chain:
    if not (folder / "em.zarr").exists():
        made = create_volume(str(folder / "em.zarr"), shape=SHAPE, dtype=np.uint8, chunk=(8, 16, 16))
        made.write(made.box, image)
    given = {
        "workspace": str(folder / "work"), "volumes.image.path": str(folder / "em.zarr"), "infer.checkpoint": str(checkpoint),
        "infer.device": "cpu", "infer.blocks": [8, 16, 32], **{f"infer.model.{key}": value for key, value in model.items()},
    }  # fmt: skip
    return Chain(load_configuration(None, [f"{key}={json.dumps(value)}" for key, value in given.items()]))


@pytest.mark.parametrize("ending", [".pt", ".pt2"])
def test_a_program_predicts_what_its_network_does(tmp_path, image, ending):
    planned = chain(tmp_path, image, saved(tmp_path, ending), window=list(WINDOW)).infer
    report = run_alone(planned)
    assert not report.failed, report.failed
    found = open_volume(str(planned.folder / "affinities.zarr")).read()
    lattice = WindowLattice(SHAPE, WINDOW, (4, 8, 8))
    direct = predict_block(
        ArrayVolume(image), ArrayVolume(image).box, lattice, Predictor(small_network(), Normalisation())
    )
    assert np.abs(found.astype(int) - direct.values).max() <= 1
    assert found.std() > 10


@pytest.mark.parametrize("ending", [".pt", ".pt2"])
def test_several_workers_of_a_process_read_it_at_once(tmp_path, ending):
    checkpoint = ForeignCheckpoint(saved(tmp_path, ending), ModelSettings(window=WINDOW))
    with ThreadPoolExecutor(4) as threads:
        networks = list(threads.map(lambda _: checkpoint.build_network(), range(8)))
    assert len(networks) == 8


def test_what_is_said_of_it_counts(tmp_path, image):
    path = saved(tmp_path, ".pt")
    plain = chain(tmp_path, image, path, window=list(WINDOW)).infer
    other = chain(tmp_path, image, path, window=list(WINDOW), mean=100.0).infer
    assert plain.fingerprint != other.fingerprint
    named = chain(tmp_path, image, path, window=list(WINDOW), activation="none").infer
    assert named.fingerprint not in (plain.fingerprint, other.fingerprint)


def test_what_cannot_be_used_is_said(tmp_path, image):
    path = saved(tmp_path, ".pt")
    with pytest.raises(CheckpointError, match=r"set infer\.model"):
        chain(tmp_path, image, path).infer  # noqa: B018
    (tmp_path / "bad.pt").write_bytes(path.read_bytes()[:1000])
    broken = chain(tmp_path, image, tmp_path / "bad.pt", window=list(WINDOW)).infer
    with pytest.raises(CheckpointError, match="cannot be loaded as a network"):
        run_alone(broken)
    (tmp_path / "net.pth.tar").write_bytes(b"")
    with pytest.raises(CheckpointError, match="--pytc-config"):
        chain(tmp_path, image, tmp_path / "net.pth.tar", window=list(WINDOW)).infer  # noqa: B018
    with pytest.raises(ConfigurationError, match=r"infer\.model\.window"):
        chain(tmp_path, image, path, mean=3.0)
    wrong = chain(tmp_path, image, path, window=list(WINDOW), offsets=[[1, 0, 0]]).infer
    with pytest.raises(PredictionError, match="gives 3 channels, 1 were announced"):
        run_alone(wrong)
    torch.jit.script(torch.nn.Conv3d(2, 3, 3, padding=1)).save(str(tmp_path / "two.pt"))
    two = chain(tmp_path, image, tmp_path / "two.pt", window=list(WINDOW)).infer
    with pytest.raises(PredictionError, match=r"two\.pt cannot predict \(1, 1, .* voxels .*2 channels"):
        run_alone(two)
    assert not list(two.folder.glob("*.zarr"))


class Harm:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickled_code_in_an_exported_program_is_not_run(tmp_path):
    """Each pickled part in turn stands for an object that does something when it is read."""
    path, harmed = saved(tmp_path, ".pt2"), tmp_path / "harmed"
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    pickled = [name for name, content in parts.items() if content[:4] == b"PK\x03\x04"]
    assert pickled
    buffer = io.BytesIO()
    torch.save(Harm(harmed), buffer)
    for name in pickled:
        bad = tmp_path / "bad.pt2"
        with zipfile.ZipFile(bad, "w", zipfile.ZIP_STORED) as archive:
            for each, content in parts.items():
                archive.writestr(each, buffer.getvalue() if each == name else content)
        with pytest.raises(CheckpointError, match="cannot be loaded as a network"):
            ForeignCheckpoint(bad, ModelSettings(window=WINDOW)).build_network()
        assert not harmed.exists()
        assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
