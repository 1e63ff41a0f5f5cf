"""Sections cut into image tiles, listed in a JSON file: how PyTorch Connectomics v1 names volumes that are too large for one file.

The file holds ``image`` (for each section a path in which ``{row}`` and ``{column}`` stand for a tile's place, relative to the
file where it is not absolute), ``height``, ``width``, ``tile_size``, and perhaps ``depth``, ``dtype`` (default uint8), ``ndim`` (3:
colours that are ids, R * 65536 + G * 256 + B) and ``tile_st`` (row and column that the first tile has in its name; default 0). A tile
that is not there is grey in an image and 0 among ids and labels: a part of a section may lie outside the tissue.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from axonloom.geometry import Box
from axonloom.volumes.cropped import CroppedVolume
from axonloom.volumes.identity import MOST_FILES, content_hash
from axonloom.volumes.record import VolumeRecord
from axonloom.volumes.stored import StoredVolume, plain_dtype, require_file, spatial_shape
from axonloom.volumes.volume import Volume, VolumeError

EXTENSION = ".json"
#: Grey level of a tile that is not there, as in PyTorch Connectomics.
MISSING = 128


@dataclass(frozen=True)
class TileLayout:
    """What a JSON file of tiles says.

    Attributes
    ----------
    sections : for each section the pattern of its tiles' paths
    height, width : voxels of a section
    size : voxels of a tile, which is square
    first : row and column that the first tile has in its name
    are_ids : whether colours are ids
    dtype : of the volume
    """

    sections: tuple[str, ...]
    height: int
    width: int
    size: int
    first: tuple[int, int]
    are_ids: bool
    dtype: np.dtype[Any]

    @classmethod
    def read(cls, content: bytes, path: Path) -> TileLayout:
        """Raises VolumeError where something is missing, or of a kind that is not read here."""
        try:
            found = json.loads(content)
            sections = tuple(str(path.parent / name) for name in found["image"])
            height, width, size = (int(found[name]) for name in ("height", "width", "tile_size"))
            first = found.get("tile_st", [0, 0])
            layout = cls(
                sections=sections,
                height=height,
                width=width,
                size=size,
                first=(int(first[0]), int(first[1])),
                are_ids=int(found.get("ndim", 1)) == 3,
                dtype=plain_dtype(found.get("dtype", "uint8"), str(path)),
            )
            depth = int(found.get("depth", len(sections)))
            ratio = float(found.get("tile_ratio", 1))
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise VolumeError(
                f"{path} is no list of tiles: it needs image (a path a section, with {{row}} and {{column}}), height, width and "
                f"tile_size ({type(error).__name__}: {error})"
            ) from None
        if depth != len(sections):
            raise VolumeError(f"{path} says that there are {depth} sections, and names {len(sections)}")
        if ratio != 1:
            raise VolumeError(
                f"{path}: tile_ratio is {found['tile_ratio']}; tiles are read here as they are stored, with 1"
            )
        if size < 1:
            raise VolumeError(f"{path}: tile_size is {size} voxels; it is at least 1")
        return layout

    def tile(self, z: int, row: int, column: int) -> Path:
        """Where a tile lies, if it is there."""
        name = self.sections[z]
        row, column = row + self.first[0], column + self.first[1]
        return Path(name.replace("{row}", str(row)).replace("{column}", str(column)))

    def places(self) -> Iterator[tuple[int, int, int]]:
        """Section, row and column of all tiles."""
        for z in range(len(self.sections)):
            for row in range(-(-self.height // self.size)):
                for column in range(-(-self.width // self.size)):
                    yield z, row, column


class TileVolume(StoredVolume):
    """Read-only; a read decodes each tile that it touches.

    Parameters
    ----------
    blank : int or None
        What stands where a tile is not there; None: 0 among ids in colours, :data:`MISSING` else. See :func:`as_labels`.
    """

    format = "tiles"

    def __init__(self, uri: str, *, blank: int | None = None, **overrides: Any) -> None:
        super().__init__(uri, **overrides)
        self.blank = blank
        self.path = Path(uri)
        require_file(self.path)
        self._content = self.path.read_bytes()
        self.layout = layout = TileLayout.read(self._content, self.path)
        self.shape, self.channels = spatial_shape((len(layout.sections), layout.height, layout.width), uri)
        self.dtype = layout.dtype
        self.chunk = (1, min(layout.size, layout.height), min(layout.size, layout.width))
        if not any(layout.tile(*place).exists() for place in layout.places()):
            raise VolumeError(f"{self.path} lists tiles of which none is there, such as {layout.tile(0, 0, 0)}")
        self._adopt(VolumeRecord())

    def _read(self, box: Box, channels: Sequence[int] | None) -> np.ndarray:
        usual = 0 if self.layout.are_ids else MISSING
        out = np.full(box.shape, usual if self.blank is None else self.blank, self.dtype)
        size = self.layout.size
        _, y0, x0 = box.origin
        _, y1, x1 = box.stop
        for i, z in enumerate(range(box.origin[0], box.stop[0])):
            for row in range(y0 // size, -(-y1 // size)):
                for column in range(x0 // size, -(-x1 // size)):
                    tile = self._decoded(self.layout.tile(z, row, column))
                    if tile is None:
                        continue
                    top, left = row * size, column * size
                    low, high = max(y0, top), min(y1, top + size, top + tile.shape[0])
                    near, far = max(x0, left), min(x1, left + size, left + tile.shape[1])
                    if low < high and near < far:
                        out[i, low - y0 : high - y0, near - x0 : far - x0] = tile[
                            low - top : high - top, near - left : far - left
                        ]
        return out

    def _decoded(self, path: Path) -> np.ndarray | None:
        """A tile's grey levels or ids (y, x); None where it is not there.

        Raises
        ------
        VolumeError
            It is damaged, or holds other values than the list says.
        """
        try:
            tile = np.asarray(imagecodecs.imread(str(path)))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise VolumeError(
                f"{path} cannot be read as an image ({error}): mend the tile, or delete it to have it blank"
            ) from error
        if self.layout.are_ids:
            if tile.ndim != 3 or tile.shape[2] < 3 or tile.dtype != np.uint8:
                raise VolumeError(
                    f"{path} has the shape {tile.shape} and holds {tile.dtype}: ids are colours, (y, x, 3) of uint8"
                )
            red, green, blue = (tile[..., k].astype(np.uint32) for k in range(3))
            return (red << np.uint32(16) | green << np.uint32(8) | blue).astype(self.dtype)
        if tile.ndim == 3:
            # Grey that was saved in colours.
            tile = tile[..., 0]
        if tile.ndim != 2 or tile.dtype != self.dtype:
            raise VolumeError(
                f"{path} holds {tile.dtype} in {tile.ndim} axes, where {self.path.name} says {self.dtype}"
            )
        return tile

    def _overrides(self) -> dict[str, Any]:
        return {**super()._overrides(), "blank": self.blank}

    def identity(self) -> dict[str, Any]:
        found: dict[str, Any] = {"metadata_sha256": content_hash([self._content])}
        if self.version is not None:
            return {**found, "path": str(self.path.resolve()), "version": self.version}
        return {**found, "files_sha256": self._files_hash()}

    def _files_hash(self) -> str:
        """sha256 over the sizes and times of the tiles."""
        places = list(self.layout.places())
        if len(places) > MOST_FILES:
            raise VolumeError(
                f"{self.path} lists more than {MOST_FILES} tiles, too many to look at for its identity: state a `version` for it, "
                "any text that changes when its data change"
            )
        rows = []
        for place in places:
            try:
                found = self.layout.tile(*place).stat()
                rows.append([*place, found.st_size, found.st_mtime_ns])
            except FileNotFoundError:
                rows.append([*place])
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        places = list(self.layout.places())
        there = sum(self.layout.tile(*place).exists() for place in places)
        return {**super().describe(), "tiles": len(places), "tiles_there": there, "ids_in_colours": self.layout.are_ids}


def as_labels(volume: Volume) -> Volume:
    """``volume``, where it is of grey tiles read as labels: a tile that is not there holds no object, instead of that with number 128.

    PyTorch Connectomics has 128 there, of labels too.
    """
    if isinstance(volume, CroppedVolume):
        return CroppedVolume(as_labels(volume.volume), volume.cropped_to)
    if isinstance(volume, TileVolume):
        return TileVolume(volume.uri, **{**volume._overrides(), "blank": 0})
    return volume
