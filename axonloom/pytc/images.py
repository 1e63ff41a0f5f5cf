"""Images as PyTorch Connectomics' networks expect them: uint8, zoomed and padded as the configuration says."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from axonloom.geometry import BlockGrid, Box
from axonloom.provenance import fingerprint
from axonloom.pytc.configuration import PytcError
from axonloom.pytc.resampling import PART, Read, Resampling
from axonloom.volumes import Volume, create_volume, open_volume
from axonloom.volumes.tiles import as_labels


def prepared_image(path: str, scale: Sequence[float], pad: Sequence[int], folder: Path, *, stretch: bool = True) -> str:
    """Where the image lies that a network is to look at.

    That is ``path`` itself where it is uint8 and nothing is asked for. Else a copy is made in ``folder``, once: grey levels of
    other types go to 0..255 by the volume's least and largest (PyTC's rule, so two parts of one volume differ), then it is zoomed by
    ``scale`` and grown by ``pad`` voxels (z, y, x) of reflection. The volume is handled part by part. Without ``stretch``
    (``DATASET.NORMALIZE_RANGE`` False) other types are refused: there they would reach the network as they are, divided by 255.

    Raises
    ------
    PytcError
        It has channels, is floating-point with values that are not finite, or is not uint8 and may not be stretched.
    """
    image = open_volume(_opened_as(path))
    if image.channels is not None:
        raise PytcError(f"{path} has {image.channels} channels: an image is one grey value a voxel (z, y, x)")
    if image.dtype != np.uint8 and not stretch:
        raise PytcError(
            f"{path} holds {image.dtype}, and DATASET.NORMALIZE_RANGE is False: convert it to uint8, or set it to True to have "
            "its least and largest value become 0 and 255"
        )
    if image.dtype == np.uint8 and all(s == 1 for s in scale) and not any(pad):
        return _opened_as(path)
    name = fingerprint({"image": image.identity(), "scale": list(scale), "pad": list(pad), "version": 2})[:16]
    how = Resampling(image.shape, tuple(scale), tuple(pad))
    return _made_once(folder / f"{name}.zarr", how, np.dtype(np.uint8), lambda: _grey(image, path))


def prepared_labels(path: str, scale: Sequence[float], folder: Path) -> str:
    """Where the labels (or a mask) lie that a network is trained on: ``path`` itself, or a copy zoomed by ``scale``, made once.

    Raises
    ------
    PytcError
        They have channels.
    """
    labels = as_labels(open_volume(_opened_as(path)))
    if labels.channels is not None:
        raise PytcError(f"{path} has {labels.channels} channels: labels are one object id a voxel (z, y, x)")
    if all(s == 1 for s in scale):
        return _opened_as(path)
    name = fingerprint({"labels": labels.identity(), "scale": list(scale), "version": 1})[:16]
    how = Resampling(labels.shape, tuple(scale), order=0)
    return _made_once(folder / f"{name}.zarr", how, labels.dtype, lambda: labels.read)


def _made_once(target: Path, how: Resampling, dtype: np.dtype, source: Callable[[], Read]) -> str:
    """What ``how`` makes of the source, in ``target``; whole or not there."""
    if target.exists():
        return str(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    building = target.parent / f"building-{uuid.uuid4().hex[:12]}.zarr"
    try:
        read = source()
        made = create_volume(str(building), shape=how.result, dtype=dtype, chunk=(64, 64, 64))
        for block in BlockGrid(made.box, PART):
            made.write(block.core, how.part(read, block.core))
        made.sync(made.box)
        os.rename(building, target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return str(target)


def _opened_as(path: str) -> str:
    """``folder/*.png`` is the folder of sections."""
    folder, name = os.path.split(path)
    return folder if name.startswith("*.") else path


def _grey(image: Volume, path: str) -> Read:
    """How to read a box of ``image`` as uint8; of other types the range is found first, part by part."""
    if image.dtype == np.uint8:
        return image.read
    ends: list[float] = []
    for block in BlockGrid(image.box, PART):
        part = image.read(block.core)
        ends += [float(part.min()), float(part.max())]
        if not np.isfinite(ends[-2:]).all():
            raise PytcError(f"{path} holds values that are not finite")
        ends = [min(ends), max(ends)]
    low, spread = ends[0], ends[1] - ends[0]

    def read(box: Box) -> np.ndarray:
        if spread == 0:
            return np.zeros(box.shape, np.uint8)
        return ((image.read(box) - low) / spread * 255).astype(np.uint8)

    return read
