"""``--inference`` with PyTorch Connectomics' files: what to run over which images, and the result where its scripts look."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from axonloom.config.configuration import Configuration
from axonloom.config.load import load_configuration
from axonloom.durable import sync_file, sync_folder
from axonloom.geometry import BlockGrid
from axonloom.pytc.checkpoints import import_checkpoint
from axonloom.pytc.configuration import PytcConfiguration, PytcError, names
from axonloom.pytc.images import prepared_image
from axonloom.volumes import Volume, open_volume

#: What is appended to the name of the result, by the number of views.
SUFFIXES = {1: "", 4: "_xy", 8: "_txy", 16: "_txyz"}
MADE_BY = "axonloom_made_from"


@dataclass(frozen=True)
class PytcInference:
    """What ``--inference`` means here.

    Attributes
    ----------
    configurations : one an image, in their order
    result : the HDF5 file that gets ``vol0``, ``vol1``, …
    """

    configurations: tuple[Configuration, ...]
    result: Path


def plan_inference(
    given: PytcConfiguration, checkpoint: Path, overrides: Sequence[str] = (), *, compat: bool = False
) -> PytcInference:
    """Read ``INFERENCE``, take the checkpoint in, and make the images ready.

    Parameters
    ----------
    given : PytcConfiguration
    checkpoint : a ``.pth.tar``
    overrides : ``KEY=VALUE`` of axonloom's own configuration, such as ``compute.workers=4``
    compat : bool
        Give PyTC's own numbers, its mistakes included: see ``infer.pytc_compat``.

    Raises
    ------
    PytcError
        Something that axonloom does not do, by its name; an image or checkpoint that does not fit.
    """
    configuration = given.for_inference()
    dataset, inference = configuration["DATASET"], configuration["INFERENCE"]
    _require_possible(configuration)
    views = _views(inference["AUG_NUM"])
    folder = Path(dataset["OUTPUT_PATH"] or ".").absolute()
    work = folder / "work"
    result = folder / _result_name(str(inference["OUTPUT_NAME"]), views)
    _require_ours(result)
    taken_in = import_checkpoint(checkpoint, configuration, work / "imported" / checkpoint.stem)
    pad = tuple(dataset["PAD_SIZE"])
    grown = not inference["UNPAD"]
    settings: dict[str, Any] = {
        "workspace": str(work),
        "infer.checkpoint": str(taken_in.folder),
        "infer.window": list(configuration["MODEL"]["INPUT_SIZE"]),
        "infer.stride": list(inference["STRIDE"]),
        # Padding that is kept belongs to the image.
        "infer.margin": [0, 0, 0] if grown else list(pad),
        "infer.blending": inference["BLENDING"],
        "infer.views": views,
        "infer.merge_views": inference["AUG_MODE"],
        "infer.pytc_compat": compat,
    }
    images = [
        prepared_image(path, tuple(dataset["DATA_SCALE"]), pad if grown else (0, 0, 0), work / "images")
        for path in _image_paths(configuration)
    ]
    configurations = tuple(
        load_configuration(
            None,
            [*(f"{k}={json.dumps(v)}" for k, v in {**settings, "volumes.image.path": uri}.items()), *overrides],
        )
        for uri in images
    )
    return PytcInference(configurations, result)


def _require_possible(configuration: PytcConfiguration) -> None:
    dataset, inference = configuration["DATASET"], configuration["INFERENCE"]
    for name, value in (
        ("MODEL.INPUT_SIZE", configuration["MODEL"]["INPUT_SIZE"]),
        ("INFERENCE.STRIDE", inference["STRIDE"]),
        ("INFERENCE.OUTPUT_SCALE", inference["OUTPUT_SCALE"]),
        ("DATASET.PAD_SIZE", dataset["PAD_SIZE"]),
        ("DATASET.DATA_SCALE", dataset["DATA_SCALE"]),
    ):
        if not isinstance(value, list) or len(value) != 3 or not all(isinstance(n, int | float) for n in value):
            raise PytcError(f"{name} is {value!r}; it is three numbers (z, y, x)")
    if not dataset["STD"] > 0:
        raise PytcError(f"DATASET.STD is {dataset['STD']}; it is above 0")
    for name, is_wanted in (
        ("DATASET.DO_CHUNK_TITLE (tiles in JSON)", dataset["DO_CHUNK_TITLE"]),
        ("DATASET.DO_2D", dataset["DO_2D"]),
        ("INFERENCE.OUTPUT_SCALE", any(float(s) != 1 for s in inference["OUTPUT_SCALE"])),
        ("INFERENCE.TENSORSTORE_PATH", inference["TENSORSTORE_PATH"]),
        (f"DATASET.PAD_MODE {dataset['PAD_MODE']!r}", dataset["PAD_MODE"] != "reflect"),
        ("INFERENCE.OUTPUT_SIZE other than INPUT_SIZE",
         configuration["MODEL"]["OUTPUT_SIZE"] != configuration["MODEL"]["INPUT_SIZE"]),
    ):  # fmt: skip
        if is_wanted:
            raise PytcError(f"{name} is not supported by `axonloom infer`: leave it out, or set it on the command line")
    if inference["BLENDING"] not in ("gaussian", "bump"):
        raise PytcError(f"INFERENCE.BLENDING is {inference['BLENDING']!r}; there are gaussian and bump")
    if inference["AUG_MODE"] not in ("mean", "min", "max"):
        raise PytcError(f"INFERENCE.AUG_MODE is {inference['AUG_MODE']!r}; there are mean, min and max")


def _views(number: Any) -> int:
    if number is None:
        return 1
    if not isinstance(number, int) or number not in SUFFIXES:
        raise PytcError(f"INFERENCE.AUG_NUM is {number!r}; there are None, 4, 8 and 16")
    return int(number)


def _result_name(name: str, views: int) -> str:
    stem, dot, ending = name.rpartition(".")
    return f"{stem}{SUFFIXES[views]}.{ending}" if dot else f"{name}{SUFFIXES[views]}.h5"


def _image_paths(configuration: PytcConfiguration) -> list[str]:
    dataset = configuration["DATASET"]
    found = list(names(dataset["IMAGE_NAME"]))
    if not found:
        raise PytcError("INFERENCE.IMAGE_NAME is not set: name the images, as in INFERENCE.IMAGE_NAME test-input.tif")
    if dataset["IS_ABSOLUTE_PATH"]:
        return found
    return [os.path.join(dataset["INPUT_PATH"], name) for name in found]


def _require_ours(result: Path) -> None:
    """Refuse to replace a file of someone else's."""
    if not result.exists():
        return
    try:
        with h5py.File(result) as file:
            ours = MADE_BY in file.attrs
    except OSError:
        ours = False
    if not ours:
        raise PytcError(
            f"{result} is there already and was not made by axonloom: move it away, or set another INFERENCE.OUTPUT_NAME"
        )


def write_result(volumes: Sequence[Volume], made_from: Sequence[str], path: Path) -> bool:
    """Copy predictions (uint8 (c, z, y, x)) into one HDF5 file as ``vol0``, ``vol1``, …; whole, or not at all.

    ``made_from`` are the fingerprints of what made them; False where the file holds just these already.
    """
    key = json.dumps(list(made_from))
    if path.exists():
        with h5py.File(path) as file:
            if file.attrs.get(MADE_BY) == key:
                return False
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.building")
    try:
        with h5py.File(building, "w") as file:
            for number, volume in enumerate(volumes):
                shape = (volume.channels or 1, *volume.shape)
                chunk = (1, *(min(64, n) for n in volume.shape))
                stored = file.create_dataset(
                    f"vol{number}", shape=shape, dtype=np.uint8, chunks=chunk, compression="gzip"
                )
                for block in BlockGrid(volume.box, (256, 256, 256)):
                    stored[(slice(None), *block.core.slices)] = volume.read(block.core)
            file.attrs[MADE_BY] = key
        sync_file(building)
        os.replace(building, path)
        sync_folder(path.parent)
    finally:
        building.unlink(missing_ok=True)
    return True


def finish_inference(planned: PytcInference, stages: Sequence[Path], fingerprints: Sequence[str]) -> bool:
    """Write the result from the finished stages' folders; see :func:`write_result`."""
    volumes = [open_volume(str(folder / "affinities.zarr")) for folder in stages]
    return write_result(volumes, fingerprints, planned.result)
