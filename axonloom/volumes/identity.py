"""What tells one state of stored data from another without reading voxels."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from axonloom.durable import BUILDING
from axonloom.volumes.volume import VolumeError

#: Folders of more files than this are not listed: it takes minutes on a network file system.
MOST_FILES = 20_000
#: Pieces of a file that are read for its identity, and the bytes of each.
SAMPLES = 16
SAMPLE_BYTES = 4096


def file_identity(path: Path) -> dict[str, Any]:
    """Size (bytes), time of last change (ns) and a sample of the content of one file: the same after it was moved.

    The sample tells apart files of one size that an archive gave one time.
    """
    found = path.stat()
    return {
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "sample_sha256": content_hash(_sample(path, found.st_size)),
    }


def _sample(path: Path, size: int) -> Iterator[bytes]:
    """Pieces spread evenly over a file, its first and last bytes among them."""
    with path.open("rb") as file:
        for k in range(SAMPLES):
            file.seek(max(0, size - SAMPLE_BYTES) * k // (SAMPLES - 1))
            yield file.read(SAMPLE_BYTES)


def content_hash(parts: Iterable[bytes]) -> str:
    """sha256 over the contents of metadata files, each preceded by its length."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def files_hash(folder: Path, endings: tuple[str, ...], limit: int) -> str:
    """sha256 over the sorted relative names, sizes and times of the files below ``folder`` whose names end so.

    The content of a few of them is sampled too, for folders of one layout that an archive gave one time.

    Raises
    ------
    VolumeError
        There are more than ``limit`` files.
    """
    rows: list[list[Any]] = []
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in names:
            # Locks and half-written files come and go while others write; they are not data.
            if name.endswith((".__lock", ".tmp")) or name.startswith(BUILDING) or not name.lower().endswith(endings):
                continue
            path = Path(where) / name
            found = path.stat()
            rows.append([path.relative_to(folder).as_posix(), found.st_size, found.st_mtime_ns])
        if len(rows) > limit:
            raise VolumeError(
                f"{folder} holds more than {limit} files, too many to list for its identity: state a `version` for it, "
                "any text that changes when its data change"
            )
    rows.sort()
    sampled = {rows[(len(rows) - 1) * k // (SAMPLES - 1)][0] for k in range(SAMPLES)} if rows else set()
    pieces = (piece for name in sorted(sampled) for piece in _sample(folder / name, (folder / name).stat().st_size))
    return hashlib.sha256((json.dumps(rows) + content_hash(pieces)).encode()).hexdigest()


def folder_identity(
    folder: Path,
    metadata: Iterable[bytes],
    version: str | None,
    fingerprint: str | None,
    endings: tuple[str, ...] = ("",),
) -> dict[str, Any]:
    """Identity of data in a folder.

    The fingerprint of the stage that made them, where they carry one; else a hash of the metadata with the ``version`` that
    the user states and the path (the same version may be stated of two volumes); else with the names, sizes and times of
    all files.
    """
    if fingerprint is not None:
        return {"fingerprint": fingerprint} if version is None else {"fingerprint": fingerprint, "version": version}
    identity: dict[str, Any] = {"metadata_sha256": content_hash(metadata)}
    if version is not None:
        return {**identity, "path": str(folder.resolve()), "version": version}
    return {**identity, "files_sha256": files_hash(folder, endings, MOST_FILES)}
