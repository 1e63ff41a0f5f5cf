"""Finding arrays in zarr hierarchies, format 3 and 2: what lies at a place, and what is listed when it is not an array."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from axonloom.volumes.ome import ome_level
from axonloom.volumes.record import VolumeRecord
from axonloom.volumes.stored import require_file
from axonloom.volumes.tensorstore_io import is_remote, read_key
from axonloom.volumes.volume import VolumeError


class ZarrNode:
    """The metadata of one place in a zarr hierarchy.

    Attributes
    ----------
    kind : 'array', 'group' or 'nothing'
    driver : TensorStore's driver, 'zarr3' or 'zarr' (format 2)
    files : contents of the metadata files
    document : the parsed zarr.json, .zarray or .zgroup
    attributes : the user attributes
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self.kind, self.driver = "nothing", "zarr3"
        self.files: list[bytes] = []
        self.document: dict[str, Any] = {}
        self.attributes: dict[str, Any] = {}
        content = read_key(location, "zarr.json")
        if content is not None:
            self.files = [content]
            self.document = self._parsed(content, "zarr.json")
            self.kind = str(self.document.get("node_type"))
            attributes = self.document.get("attributes")
            self.attributes = attributes if isinstance(attributes, dict) else {}
            return
        for name, kind in ((".zarray", "array"), (".zgroup", "group")):
            content = read_key(location, name)
            if content is not None:
                self.kind, self.driver, self.files = kind, "zarr", [content]
                self.document = self._parsed(content, name)
                attributes = read_key(location, ".zattrs")
                if attributes is not None:
                    self.files.append(attributes)
                    self.attributes = self._parsed(attributes, ".zattrs")
                return

    def _parsed(self, content: bytes, name: str) -> dict[str, Any]:
        try:
            parsed = json.loads(content)
        except ValueError as error:
            raise VolumeError(f"{self.location}/{name} is not JSON ({error}): the zarr metadata are damaged") from error
        if not isinstance(parsed, dict):
            raise VolumeError(f"{self.location}/{name} is not a JSON object: the zarr metadata are damaged")
        return parsed


def locate_array(uri: str) -> tuple[ZarrNode, VolumeRecord | None]:
    """The array that ``uri`` names (of an OME-Zarr image, its first level), and what OME-Zarr says of it, if anything.

    Raises
    ------
    VolumeError
        Nothing lies there, or a group: lists the arrays that there are.
    """
    location = uri.rstrip("/")
    node = ZarrNode(location)
    if node.kind == "array":
        parent, _, name = location.rpartition("/")
        # Ours say it themselves; a remote store may forbid to ask for what is not there.
        alone = not parent or "axonloom" in node.attributes or is_remote(location)
        above = None if alone else ZarrNode(parent)
        level = ome_level(above.attributes, name) if above is not None else None
        return node, level.record if level is not None else None
    if node.kind == "group":
        level = ome_level(node.attributes, None)
        if level is not None:
            found = ZarrNode(f"{location}/{level.path}")
            if found.kind != "array":
                raise VolumeError(f"{uri} is an OME-Zarr image whose first level {level.path!r} is missing")
            return found, level.record
        arrays = [] if is_remote(location) else list_arrays(Path(location))
        listed = ", ".join(f"{location}/{a}" for a in arrays[:20]) or "none that could be found"
        raise VolumeError(f"{uri} is a zarr group and not an array; its arrays: {listed}")
    if not is_remote(location):
        path = Path(location)
        root = zarr_root(path)
        require_file(root)
        arrays = list_arrays(root) if root != path and root.is_dir() else []
        if arrays:
            raise VolumeError(
                f"{path.relative_to(root)} is not an array in {root}, which holds {', '.join(arrays[:20])}"
            )
    raise VolumeError(f"{uri} is not a zarr array: it holds neither zarr.json nor .zarray")


def zarr_root(path: Path) -> Path:
    """The outermost folder of ``path`` that ends in .zarr, or ``path`` itself."""
    for folder in [*reversed(path.parents), path]:
        if folder.suffix.lower() == ".zarr":
            return folder
    return path


def list_arrays(folder: Path) -> list[str]:
    """Arrays below ``folder``, as relative paths; chunks are not walked."""
    found = []
    for where, folders, names in os.walk(folder):
        folders.sort()
        is_array = ".zarray" in names
        if "zarr.json" in names:
            is_array = ZarrNode(where).kind == "array"
        if is_array:
            found.append(Path(where).relative_to(folder).as_posix())
            folders.clear()
    return found
