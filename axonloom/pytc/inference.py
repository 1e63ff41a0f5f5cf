"""``--inference`` with PyTorch Connectomics' files: what to run over which images, and the result where its scripts look."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axonloom.config.configuration import Configuration
from axonloom.config.load import load_configuration
from axonloom.geometry import Zyx
from axonloom.pytc.checkpoints import import_checkpoint
from axonloom.pytc.configuration import PytcConfiguration, PytcError, names
from axonloom.pytc.images import prepared_image
from axonloom.pytc.results import PytcResult
from axonloom.pytc.sections import require_sections
from axonloom.volumes import open_volume

#: What is appended to the name of the result, by the number of views.
SUFFIXES = {1: "", 4: "_xy", 8: "_txy", 16: "_txyz"}


@dataclass(frozen=True)
class PytcInference:
    """What ``--inference`` means here.

    Attributes
    ----------
    configurations : one an image, in their order
    result : where their predictions go
    """

    configurations: tuple[Configuration, ...]
    result: PytcResult


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
    paths = _image_paths(configuration)
    result = PytcResult(folder / _result_name(str(inference["OUTPUT_NAME"]), views), _chunks(configuration, paths))
    taken_in = import_checkpoint(checkpoint, configuration, work / "imported")
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
        prepared_image(
            path,
            tuple(dataset["DATA_SCALE"]),
            pad if grown else (0, 0, 0),
            work / "images",
            stretch=bool(dataset["NORMALIZE_RANGE"]),
        )
        for path in paths
    ]
    result.require_possible(open_volume(images[0]).shape)
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
        ("INFERENCE.OUTPUT_SCALE", any(float(s) != 1 for s in inference["OUTPUT_SCALE"])),
        ("INFERENCE.TENSORSTORE_PATH", inference["TENSORSTORE_PATH"]),
        ("INFERENCE.DO_SINGLY", inference["DO_SINGLY"]),
        ("INFERENCE.DO_EVAL False", not inference["DO_EVAL"]),
        ("INFERENCE.MODEL_RETURN_FEATS", inference["MODEL_RETURN_FEATS"]),
        (f"DATASET.PAD_MODE {dataset['PAD_MODE']!r}", dataset["PAD_MODE"] != "reflect"),
        ("INFERENCE.OUTPUT_SIZE other than INPUT_SIZE",
         configuration["MODEL"]["OUTPUT_SIZE"] != configuration["MODEL"]["INPUT_SIZE"]),
    ):  # fmt: skip
        if is_wanted:
            raise PytcError(f"{name} is not supported by `axonloom infer`: leave it out, or set it on the command line")
    require_sections(configuration)
    name, activations = configuration["MODEL"]["ARCHITECTURE"], inference["OUTPUT_ACT"]
    if name == "unet_residual_3d" and set(activations) != {"sigmoid"}:
        raise PytcError(
            f"INFERENCE.OUTPUT_ACT is {activations!r}; {name} ends in a sigmoid, so write sigmoid for each target"
        )
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


def _chunks(configuration: PytcConfiguration, paths: Sequence[str]) -> Zyx | None:
    """Into how many chunks the result is cut; None: it is one file. All are predicted, by whatever workers there are."""
    dataset = configuration["DATASET"]
    if not dataset["DO_CHUNK_TITLE"]:
        return None
    number = dataset["DATA_CHUNK_NUM"]
    if not isinstance(number, list) or len(number) != 3 or not all(isinstance(n, int) for n in number):
        raise PytcError(f"DATASET.DATA_CHUNK_NUM is {number!r}; it is three whole numbers (z, y, x)")
    if len(paths) > 1:
        raise PytcError(f"DATASET.DO_CHUNK_TITLE is for one image, and there are {len(paths)}: {', '.join(paths)}")
    for name in ("DATA_CHUNK_IND", "CHUNK_IND_SPLIT", "DATA_COORD_RANGE"):
        if dataset[name] is not None:
            raise PytcError(
                f"DATASET.{name} is {dataset[name]!r}: here one run predicts all chunks, on as many workers as it is given; leave it out"
            )
    z, y, x = number
    return z, y, x


def _image_paths(configuration: PytcConfiguration) -> list[str]:
    dataset = configuration["DATASET"]
    found = list(names(dataset["IMAGE_NAME"]))
    if not found:
        raise PytcError("INFERENCE.IMAGE_NAME is not set: name the images, as in INFERENCE.IMAGE_NAME test-input.tif")
    if dataset["IS_ABSOLUTE_PATH"]:
        return found
    return [os.path.join(dataset["INPUT_PATH"], name) for name in found]


def finish_inference(planned: PytcInference, stages: Sequence[Path], fingerprints: Sequence[str]) -> bool:
    """Write the result from the finished stages' folders; see :meth:`axonloom.pytc.results.PytcResult.write`."""
    volumes = [open_volume(str(folder / "affinities.zarr")) for folder in stages]
    return planned.result.write(volumes, fingerprints)
