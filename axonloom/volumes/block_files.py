"""A volume as a folder of overlapping files, one a block, each of which other programs can open.

A file says in its name which voxels it holds: ``name_z0-z1-y0-y1-x0-x1.h5`` (or ``.tif``), as PyTorch Connectomics names its chunks.
``index.json`` beside them, where axonloom made the folder, says what should be there, and which part of each file is its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from axonloom.durable import building, write_json
from axonloom.geometry import Box, Zyx
from axonloom.volumes.hdf5 import Hdf5Volume
from axonloom.volumes.holes import holes
from axonloom.volumes.open import create_volume, open_volume
from axonloom.volumes.volume import Volume, VolumeError

INDEX = "index.json"
FORMAT_VERSION = 1
ENDINGS = ("tif", "h5")
_NAME = re.compile(r".*?_z?(\d+)-(\d+)-y?(\d+)-(\d+)-x?(\d+)-(\d+)\.(?:h5|hdf5|hdf|tif|tiff)", re.IGNORECASE)


@dataclass(frozen=True)
class BlockFile:
    """One file.

    Attributes
    ----------
    name : in its folder
    box : the voxels of the whole volume that it holds
    core : those of them that no other file owns; None where nobody said
    """

    name: str
    box: Box
    core: Box | None = None


@dataclass(frozen=True)
class BlockFiles:
    """The files of a folder.

    Attributes
    ----------
    folder : Path
    shape : (z, y, x)
        Of the whole volume.
    files : in the order of their boxes
    voxel_size : (z, y, x) in nm, or None
    offset : (z, y, x)
        Of the volume, in voxels.
    made_from : fingerprint of the stage that writes it; None where others did
    begins : (z, y, x)
        The voxel of the volume's first corner as names of files count: 0 but for chunks of a region.
    """

    folder: Path
    shape: Zyx
    files: tuple[BlockFile, ...]
    voxel_size: tuple[float, float, float] | None = None
    offset: Zyx = (0, 0, 0)
    made_from: str | None = None
    begins: Zyx = (0, 0, 0)

    @classmethod
    def open(cls, folder: Path, region: Box | None = None, *, with_holes: bool = False) -> BlockFiles:
        """The files that a folder's index names, or those whose names say which voxels they hold.

        Parameters
        ----------
        region : Box
            The voxels wanted, counted as the names count them. Default: all of an index's volume; without an index the box around
            all files, which may begin anywhere: chunks of a region keep the numbers of the whole volume.
        with_holes : bool
            Take a folder in which no file holds some of the voxels.

        Raises
        ------
        VolumeError
            It is no such folder; files are missing; or voxels of the volume are in none of them.
        """
        if not folder.is_dir():
            raise VolumeError(f"{folder} is no folder: name one that holds blocks")
        found = cls._of_index(folder) if (folder / INDEX).exists() else cls._of_names(folder)
        missing = [file.name for file in found.files if not (folder / file.name).is_file()]
        if missing:
            raise VolumeError(f"{folder} lacks {listed(missing)}: let what makes them end, or make them again")
        files = found.within(region) if region is not None else found
        if not with_holes and (lacking := files.lacking()):
            raise VolumeError(
                f"no file in {folder} holds the voxels {listed(lacking)} (zyx) of {files.extent}: make those files too"
            )
        return files

    @property
    def extent(self) -> Box:
        """The whole volume, counted as the names count voxels."""
        return Box(start=self.begins, size=self.shape)

    def lacking(self) -> list[Box]:
        """The voxels that no file holds, counted as the names count them."""
        return [hole.shifted(self.begins) for hole in holes(self.shape, [file.box for file in self.files])]

    def within(self, region: Box) -> BlockFiles:
        """These files as those of another volume: the voxels of ``region``, counted as the names count them."""
        z, y, x = (a - b for a, b in zip(region.origin, self.begins, strict=True))
        back = (-z, -y, -x)
        files = [
            BlockFile(file.name, file.box.shifted(back), None if file.core is None else file.core.shifted(back))
            for file in self.files
        ]
        inside = tuple(file for file in files if file.box.clipped(Box.of_shape(region.shape)).voxels)
        if not inside:
            raise VolumeError(f"no file in {self.folder} holds any voxel of {region} (zyx): they hold {self.extent}")
        oz, oy, ox = self.offset
        return replace(self, shape=region.shape, files=inside, offset=(oz + z, oy + y, ox + x), begins=region.origin)

    @classmethod
    def _of_index(cls, folder: Path) -> BlockFiles:
        try:
            content = json.loads((folder / INDEX).read_text())
            if content["format_version"] > FORMAT_VERSION:
                raise VolumeError(f"{folder / INDEX} was written by a newer axonloom: install that version")
            files = tuple(
                BlockFile(
                    each["name"],
                    Box(start=each["box"][0], end=each["box"][1]),
                    Box(start=each["core"][0], end=each["core"][1]) if each["core"] else None,
                )
                for each in content["files"]
            )  # fmt: skip
            return cls(
                folder,
                cast(Zyx, tuple(content["shape"])),
                files,
                tuple(content["voxel_size_nm"]) if content["voxel_size_nm"] else None,
                cast(Zyx, tuple(content["offset_voxels"])),
                content["made_from"],
                cast(Zyx, tuple(content.get("names_begin_at", (0, 0, 0)))),
            )
        except (ValueError, KeyError, TypeError, IndexError, OSError) as error:
            raise VolumeError(f"{folder / INDEX} is damaged ({error!r}): make the folder again") from error

    @classmethod
    def _of_names(cls, folder: Path) -> BlockFiles:
        files: list[BlockFile] = []
        for path in sorted(folder.iterdir()):
            found = _NAME.fullmatch(path.name)
            if found:
                z0, z1, y0, y1, x0, x1 = map(int, found.groups())
                if z0 >= z1 or y0 >= y1 or x0 >= x1:
                    raise VolumeError(
                        f"{path} names no voxels: in name_z0-z1-y0-y1-x0-x1 each second number is the larger"
                    )
                files.append(BlockFile(path.name, Box(start=(z0, y0, x0), end=(z1, y1, x1))))
        if not files:
            raise VolumeError(
                f"{folder} holds no blocks: neither {INDEX} nor files named name_z0-z1-y0-y1-x0-x1.h5 (or .tif)"
            )
        files.sort(key=lambda file: (file.box.origin, file.box.stop, file.name))
        first, last = (
            [pick(getattr(file.box, end)[axis] for file in files) for axis in range(3)]
            for pick, end in ((min, "origin"), (max, "stop"))
        )
        return cls(folder, cast(Zyx, tuple(last)), tuple(files)).within(Box(start=first, end=last))

    def write_index(self) -> None:
        """Whole, or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(
            self.folder / INDEX,
            {
                "format_version": FORMAT_VERSION,
                "shape": list(self.shape),
                "voxel_size_nm": list(self.voxel_size) if self.voxel_size else None,
                "offset_voxels": list(self.offset),
                "made_from": self.made_from,
                **({"names_begin_at": list(self.begins)} if any(self.begins) else {}),
                "files": [
                    {
                        "name": file.name,
                        "box": [list(file.box.origin), list(file.box.stop)],
                        "core": [list(file.core.origin), list(file.core.stop)] if file.core else None,
                    }
                    for file in self.files
                ],
            },
        )

    def require_ours(self) -> None:
        """Raise VolumeError where the folder holds what this stage did not make: it would be overwritten."""
        if not self.folder.exists():
            return
        if (self.folder / INDEX).exists() and BlockFiles._of_index(self.folder).made_from == self.made_from:
            return
        if any(self.folder.iterdir()):
            raise VolumeError(
                f"{self.folder} is not empty, and what it holds was made otherwise: name another folder, or move it away"
            )

    def volume(self, file: BlockFile) -> Volume:
        """One file.

        Raises
        ------
        VolumeError
            It is damaged or cut short, or of another shape than it should be, or others made it and did not fill it.
        """
        found = open_volume(str(self.folder / file.name))
        if tuple(found.shape) != file.box.shape:
            raise VolumeError(
                f"{found.uri} holds {tuple(found.shape)} voxels (zyx), where {file.box.shape} are expected: it is half-written, or "
                "another file"
            )
        if self.made_from is None and isinstance(found, Hdf5Volume):
            found.require_written()
        return found


def listed(things: Sequence[object], most: int = 5) -> str:
    """The first few, for a sentence."""
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return f"{', '.join(map(str, things[:most]))}{more}"


def block_name(stem: str, box: Box, ending: str) -> str:
    """The name of the file that holds ``box``."""
    return f"{stem}_{'-'.join(f'{a}-{b}' for a, b in zip(box.origin, box.stop, strict=True))}.{ending}"


def write_block_file(path: Path, array: np.ndarray, **layout: Any) -> None:
    """Write (z, y, x) or (c, z, y, x) as a file of its own; whole and on disk, or not there."""
    with building(path) as unfinished:
        made = create_volume(
            str(unfinished),
            shape=array.shape[-3:],
            dtype=array.dtype,
            channels=array.shape[0] if array.ndim == 4 else None,
            **layout,
        )
        made.write(made.box, array)
        made.sync(made.box)
