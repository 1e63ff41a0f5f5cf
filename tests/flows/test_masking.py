"""Volumes without what lies outside a mask, against numpy over the whole volume."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cloudvolume import CloudVolume

from axonloom.alone import run_alone
from axonloom.config.load import ConfigurationError, load_configuration
from axonloom.stage import StageError
from axonloom.stages.tool_stage import require_own_targets, tool_stage
from axonloom.tools import TOOLS
from axonloom.volumes import VolumeError, add_mip, create_volume, open_volume
from axonloom.volumes.new_volume import LayerLayout
from tests.flows.test_failures import axonloom, finished

SHAPE = (33, 70, 65)


def made(uri: object, array: np.ndarray, voxel_size=(40, 8, 8), offset=(5, 0, 8), **more):
    volume = create_volume(
        str(uri), shape=array.shape, dtype=array.dtype, voxel_size=voxel_size, offset=offset, chunk=(8, 16, 16), **more
    )
    volume.write(volume.box, array)
    return volume


def run(folder: Path, **section: object) -> int:
    typed = [f"workspace={folder / 'work'}", "blocks.shape=[16,32,32]", f"apply_mask={json.dumps(section)}"]
    plans = TOOLS["apply_mask"](load_configuration(None, typed))
    for plan in plans:
        plan.save()
    require_own_targets(plans)
    for plan in plans:
        assert not (folder / "out").exists()
        assert not run_alone(plan).failed
        tool_stage(plan).finish()
    return len(plans)


def random_of(dtype: str) -> np.ndarray:
    return np.random.default_rng(1).integers(1, 200, SHAPE).astype(dtype)


def mask_of(shape: tuple[int, ...]) -> np.ndarray:
    return (np.random.default_rng(2).random(shape) < 0.5).astype(np.uint8)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "uint64"])
def test_of_the_same_shape(tmp_path, dtype):
    image, mask = random_of(dtype), mask_of(SHAPE)
    made(tmp_path / "em.zarr", image)
    made(tmp_path / "mask.zarr", mask)
    run(tmp_path, source=str(tmp_path / "em.zarr"), mask=str(tmp_path / "mask.zarr"), target=str(tmp_path / "out.zarr"),
        outside=7)  # fmt: skip
    found = open_volume(str(tmp_path / "out.zarr"))
    np.testing.assert_array_equal(found.read(), np.where(mask, image, 7).astype(dtype))
    assert (found.voxel_size, found.offset) == ((40, 8, 8), (5, 0, 8))


@pytest.mark.parametrize("sharded", [False, True])
def test_a_layer_keeps_its_scales_chunks_and_encoding(tmp_path, sharded):
    labels = random_of("uint32")
    layer = made(f"precomputed://{tmp_path / 'layer'}", labels, layout=LayerLayout(sharded=sharded))
    coarse = add_mip(layer, (1, 2, 2))
    coarse.write(coarse.box, labels[:, ::2, ::2])
    # Of 80 x 16 x 16 nm, and it begins two coarse voxels before the layer does.
    mask = mask_of((20, 40, 40))
    made(tmp_path / "mask.zarr", mask, (80, 16, 16), (2, 0, 2))
    scales = run(tmp_path, source=f"precomputed://{tmp_path / 'layer'}", mask=str(tmp_path / "mask.zarr"),
                 target=f"precomputed://{tmp_path / 'out'}")  # fmt: skip
    assert scales == 2
    z, y, x = np.indices(SHAPE)
    kept = mask[(z + 5) // 2 - 2, y // 2, (x + 8) // 2 - 2] != 0
    np.testing.assert_array_equal(open_volume(f"precomputed://{tmp_path / 'out'}").read(), labels * kept)
    found = open_volume(f"precomputed://{tmp_path / 'out'}?mip=1")
    z, y, x = np.indices(found.shape)
    kept = mask[(z + 5) // 2 - 2, y, x + 4 - 2] != 0
    np.testing.assert_array_equal(found.read(), labels[:, ::2, ::2] * kept)
    before, after = (json.loads((tmp_path / name / "info").read_text()) for name in ("layer", "out"))
    assert after["scales"] == before["scales"]
    np.testing.assert_array_equal(
        np.asarray(CloudVolume(f"file://{tmp_path / 'out'}", progress=False)[:, :, :])[..., 0].T,
        open_volume(f"precomputed://{tmp_path / 'out'}").read(),
    )


def test_without_voxel_sizes_a_coarser_mask_goes_by_its_shape(tmp_path):
    image, mask = random_of("uint8"), mask_of((17, 35, 33))
    made(tmp_path / "em.zarr", image, None)
    made(tmp_path / "mask.zarr", mask, None)
    run(tmp_path, source=str(tmp_path / "em.zarr"), mask=str(tmp_path / "mask.zarr"), target=str(tmp_path / "out.zarr"))
    z, y, x = np.indices(SHAPE)
    np.testing.assert_array_equal(open_volume(str(tmp_path / "out.zarr")).read(), image * mask[z // 2, y // 2, x // 2])


@pytest.mark.parametrize(
    ("shape", "voxel_size", "given", "sentence"),
    [
        ((33, 70, 64), (40, 8, 8), {}, "does not cover"),
        ((33, 70, 40), None, {}, "the same shape, or one that is coarser by a whole factor"),
        (SHAPE, (40, 8, 8), {"outside": 256}, "outside is 256"),
        (SHAPE, (40, 8, 8), {"mask": None}, "not all set"),
        (SHAPE, (40, 8, 8), {"mask": "nowhere.zarr"}, r"nowhere\.zarr"),
        (SHAPE, (40, 8, 8), {"mask_voxel_size": [40, 8, 0]}, "mask_voxel_size"),
    ],
)
def test_what_is_refused(tmp_path, shape, voxel_size, given, sentence):
    made(tmp_path / "em.zarr", random_of("uint8"))
    made(tmp_path / "mask.zarr", mask_of(shape), voxel_size)
    section = {
        "source": str(tmp_path / "em.zarr"),
        "mask": str(tmp_path / "mask.zarr"),
        "target": str(tmp_path / "out.zarr"),
        **given,
    }
    with pytest.raises((VolumeError, StageError, ConfigurationError), match=sentence):
        run(tmp_path, **section)
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.flow
def test_from_the_command_line(prefect_api, tmp_path):
    image, mask = random_of("uint8"), mask_of(SHAPE)
    made(tmp_path / "em.zarr", image)
    made(tmp_path / "mask.zarr", mask)
    given = ["tools", "apply-mask", tmp_path / "em.zarr", tmp_path / "mask.zarr", tmp_path / "out.zarr",
             "--set", f"workspace={tmp_path / 'work'}"]  # fmt: skip
    code, output = finished(axonloom(prefect_api, *given))
    assert code == 0, output
    np.testing.assert_array_equal(open_volume(str(tmp_path / "out.zarr")).read(), image * mask)
    (tmp_path / "out.zarr").rename(tmp_path / "mine.zarr")
    made(tmp_path / "out.zarr", image)
    code, output = finished(axonloom(prefect_api, *given))
    assert (code, "is there already and was made otherwise" in output) == (2, True)
