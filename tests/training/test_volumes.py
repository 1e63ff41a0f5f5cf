"""Several volumes, and labels that are right in part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from axonloom.config.load import ConfigurationError, load_configuration
from axonloom.geometry import Box
from axonloom.representations.affinity import Affinity
from axonloom.representations.targets import Targets
from axonloom.training.configured import open_labelled_volumes
from axonloom.training.errors import TrainingError
from axonloom.training.labelled_volume import LabelledVolume
from axonloom.training.loop import train
from axonloom.training.sampling import Sampler
from axonloom.volumes import create_volume
from tests.training.cells import ArrayVolume, cells
from tests.training.run_training import settings


def labelled(seed: int, valid: np.ndarray | None = None, weight: float = 1.0) -> LabelledVolume:
    image, labels = cells((24, 30, 32), seed, size=8)
    mask = None if valid is None else ArrayVolume(valid, f"{seed}.h5:valid")
    return LabelledVolume(
        ArrayVolume(image, f"{seed}.h5:raw"), ArrayVolume(labels, f"{seed}.h5:ids"), weight=weight, valid=mask
    )


def test_each_is_shown_as_often_as_its_weight_says():
    volumes = [labelled(0), labelled(1, weight=3.0), labelled(2, weight=0.0)]
    sampler = Sampler(volumes, Affinity(), (8, 8, 8))
    shown = np.bincount([sampler.sample(k).crop.volume for k in range(400)], minlength=3)
    assert shown[2] == 0
    assert 2.2 < shown[1] / shown[0] < 4.2


@pytest.mark.parametrize("kind", [Affinity(erosion=1), Targets([{"kind": "affinity"}, {"kind": "contour"}])])
def test_where_labels_are_wrong_nothing_is_learned(kind):
    random = np.random.default_rng(0)
    _, labels = cells((12, 20, 20), 3, size=6)
    valid = np.zeros(labels.shape, np.uint8)
    valid[:, 5:] = 1
    wrong = np.where(valid, labels, random.integers(0, 9, labels.shape)).astype(labels.dtype)
    target, weight = kind.targets(wrong, valid != 0)
    assert not weight[:, :, :5].any()
    assert weight[:, 2:, 8:, 2:].all()
    # The pair of the first valid row and the row before is not known.
    assert not weight[1, :, 5].any()
    right, right_weight = kind.targets(labels, valid != 0)
    channels = len(kind.channels)
    logits = torch.from_numpy(random.standard_normal((1, channels, *labels.shape)).astype(np.float32))
    found, expected = (
        float(kind.loss(logits, torch.from_numpy(t)[None], torch.from_numpy(w)[None]))
        for t, w in ((target, weight), (right, right_weight))
    )
    # Erosion and contours look one voxel further, so the rim may differ by a little.
    assert found == pytest.approx(expected, rel=0.05)


def test_patches_are_mostly_valid_and_turn_with_their_masks():
    valid = np.zeros((24, 30, 32), np.uint8)
    valid[:, :, 12:] = 255
    sampler = Sampler(
        [labelled(4, valid)],
        Targets([{"kind": "foreground", "losses": [{"loss": "dice"}]}]),
        (8, 8, 8),
        least_valid=0.5,
    )
    shares = []
    for k in range(60):
        sample = sampler.sample(k)
        shares.append(sample.weight.mean())
        box = Box(start=sample.crop.box.origin, end=sample.crop.box.stop)
        expected = sample.crop.turn.apply(valid[box.slices] != 0)
        np.testing.assert_array_equal(sample.weight[0] > 0, expected)
    assert min(shares) >= 0.5
    assert min(shares) < 1


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(TrainingError, match=r"4\.h5:valid has \(3, 3, 3\) voxels .* 4\.h5:ids have \(24, 30, 32\)"):
        Sampler([labelled(4, np.ones((3, 3, 3), np.uint8))], Affinity(), (8, 8, 8))


def test_two_volumes_one_of_them_valid_in_part_are_trained_on(tmp_path):
    valid = np.ones((24, 30, 32), np.uint8)
    valid[:8] = 0
    result = train(settings(iterations=3), [labelled(0), labelled(1, valid)], tmp_path)
    assert result.iteration == 3


def project(folder: Path, **train_settings: object) -> Path:
    folder.mkdir(exist_ok=True)
    for name in ("a", "b"):
        image, labels = cells((24, 30, 32), ord(name), size=8)
        for what, array in (("em", image), ("ids", labels)):
            made = create_volume(
                str(folder / f"{name}-{what}.zarr"), shape=array.shape, dtype=array.dtype, voxel_size=(8, 8, 8)
            )
            made.write(made.box, array)
    content = {"workspace": "work", "train": train_settings}
    (folder / "p.yaml").write_text(yaml.safe_dump(content))
    return folder / "p.yaml"


def test_from_a_configuration(tmp_path):
    one = {"image": {"path": "a-em.zarr"}, "labels": {"path": "a-ids.zarr"}, "weight": 2.0}
    other = {
        "image": {"path": "b-em.zarr"}, "labels": {"path": "b-ids.zarr"}, "valid": {"path": "a-ids.zarr"},
        "held_out": {"start": [0, 0, 0], "stop": [12, 30, 32]},
    }  # fmt: skip
    found = open_labelled_volumes(load_configuration(project(tmp_path, volumes=[one, other])))
    assert [Path(v.image.uri).name for v in found] == ["a-em.zarr", "b-em.zarr"]
    assert [v.weight for v in found] == [2.0, 1.0]
    assert found[1].held_out == Box(start=(0, 0, 0), end=(12, 30, 32))
    assert found[1].valid is not None
    words = [f"volumes.image.path={tmp_path}/b-em.zarr", f"volumes.labels.path={tmp_path}/b-ids.zarr"]
    found = open_labelled_volumes(load_configuration(tmp_path / "p.yaml", words))
    assert [Path(v.image.uri).name for v in found] == ["b-em.zarr", "a-em.zarr", "b-em.zarr"]
    with pytest.raises(ConfigurationError, match=r"volumes\.image is not set.*or set train\.volumes"):
        open_labelled_volumes(load_configuration(None))


def test_volumes_to_validate_on_from_a_configuration(tmp_path):
    one = {"image": {"path": "a-em.zarr"}, "labels": {"path": "a-ids.zarr"}}
    other = {"image": {"path": "b-em.zarr"}, "labels": {"path": "b-ids.zarr"}, "valid": {"path": "a-ids.zarr"}}
    path = project(tmp_path, volumes=[one], validation={"volumes": [other]})
    configuration = load_configuration(path)
    assert configuration.train.validation.fraction == 0
    found = open_labelled_volumes(configuration)
    assert [(Path(v.image.uri).name, v.only_validates) for v in found] == [("a-em.zarr", False), ("b-em.zarr", True)]
    assert found[1].valid is not None
    # Both: a part of what is trained on, too.
    both = load_configuration(path, ["train.validation.fraction=0.2"])
    assert both.train.validation.fraction == 0.2
    again = type(both).model_validate(both.model_dump(mode="json"))
    assert again == both
    with pytest.raises(ConfigurationError, match=r"train\.validation\.volumes\.0\.weight"):
        load_configuration(project(tmp_path / "c", volumes=[one], validation={"volumes": [{**other, "weight": 2}]}))


def test_patience_may_count_on_what_volumes_hold_out(tmp_path):
    box = {"start": [0, 0, 0], "stop": [12, 30, 32]}
    one = {"image": {"path": "a-em.zarr"}, "labels": {"path": "a-ids.zarr"}, "held_out": box}
    for held_out in (
        {"volumes": [one]},
        {"validation": {"volumes": [{k: one[k] for k in ("image", "labels")}]}},
        {"validation": {"region": box, "fraction": 0}},
    ):
        assert settings(**{"validation": {"fraction": 0}, **held_out, "patience": 3, "best_by": "voi"}).patience == 3
    with pytest.raises(ValueError, match="holds nothing out"):
        settings(validation={"fraction": 0}, best_by="adapted_rand")
