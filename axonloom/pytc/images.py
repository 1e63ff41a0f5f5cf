"""Images as PyTorch Connectomics' networks expect them: uint8, zoomed and padded as the configuration says."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from axonloom.provenance import fingerprint
from axonloom.pytc.configuration import PytcError
from axonloom.volumes import create_volume, open_volume


def prepared_image(path: str, scale: Sequence[float], pad: Sequence[int], folder: Path, *, stretch: bool = True) -> str:
    """Where the image lies that a network is to look at.

    That is ``path`` itself where it is uint8 and nothing is asked for. Else a copy is made in ``folder``, once: grey levels of
    other types go to 0..255 by the volume's least and largest (PyTC's rule, so two parts of one volume differ), then it is zoomed by
    ``scale`` and grown by ``pad`` voxels (z, y, x) of reflection. The volume is handled in memory, as there. Without ``stretch``
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
    name = fingerprint({"image": image.identity(), "scale": list(scale), "pad": list(pad), "version": 1})[:16]

    def made() -> np.ndarray:
        grey = _as_uint8(image.read(), path)
        if any(s != 1 for s in scale):
            # Cubic, as there.
            grey = np.asarray(ndimage.zoom(grey, scale, order=3))
        return np.pad(grey, [(n, n) for n in pad], mode="reflect")

    return _made_once(folder / f"{name}.zarr", made)


def prepared_labels(path: str, scale: Sequence[float], folder: Path) -> str:
    """Where the labels (or a mask) lie that a network is trained on: ``path`` itself, or a copy zoomed by ``scale``, made once.

    Raises
    ------
    PytcError
        They have channels.
    """
    labels = open_volume(_opened_as(path))
    if labels.channels is not None:
        raise PytcError(f"{path} has {labels.channels} channels: labels are one object id a voxel (z, y, x)")
    if all(s == 1 for s in scale):
        return _opened_as(path)
    name = fingerprint({"labels": labels.identity(), "scale": list(scale), "version": 1})[:16]
    return _made_once(folder / f"{name}.zarr", lambda: np.asarray(ndimage.zoom(labels.read(), scale, order=0)))


def _made_once(target: Path, make: Callable[[], np.ndarray]) -> str:
    """The array that ``make`` gives, in ``target``; whole or not there."""
    if target.exists():
        return str(target)
    array = make()
    target.parent.mkdir(parents=True, exist_ok=True)
    building = target.parent / f"building-{uuid.uuid4().hex[:12]}.zarr"
    try:
        made = create_volume(str(building), shape=array.shape, dtype=array.dtype, chunk=(64, 64, 64))
        made.write(made.box, array)
        made.sync(made.box)
        os.rename(building, target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return str(target)


def _opened_as(path: str) -> str:
    """``folder/*.png`` is the folder of sections."""
    folder, name = os.path.split(path)
    return folder if name.startswith("*.") else path


def _as_uint8(array: np.ndarray, path: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise PytcError(f"{path} holds values that are not finite")
    spread = high - low
    return np.zeros(array.shape, np.uint8) if spread == 0 else ((array - low) / spread * 255).astype(np.uint8)
