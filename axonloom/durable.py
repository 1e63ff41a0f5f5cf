"""Writing files so that a reader finds the old one or the whole new one, never a half."""

from __future__ import annotations

import errno
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: How the name of a file begins that is not whole yet, where its ending must stay.
BUILDING = ".building-"
#: File systems without hard links answer with one of these.
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable: a renamed file may otherwise lose its name in a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make what was written to ``path`` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder; when the block ends well it is synced and takes the name ``path``.

    The temporary name carries a uuid, so that two processes that write one file do not write into each other's; the last
    rename wins, whole. When the block raises, the temporary file is removed and ``path`` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield temporary
        sync_file(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def building(path: Path) -> Iterator[Path]:
    """Like :func:`replacing`, for writers that go by the ending of a name and sync what they write themselves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{BUILDING}{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Delete what :func:`building` left in a folder when its process was killed; only while nobody writes there."""
    for path in folder.glob(f"{BUILDING}*"):
        path.unlink(missing_ok=True)


def make_json_once(path: Path, content: Any) -> bool:
    """Write ``content`` as JSON to ``path``, whole, unless it is there; False when it is.

    Of several processes that do so at once one alone succeeds, also on NFS and Lustre: a hard link is made by one. Nothing has to be
    unlocked, so a process that is killed half-way blocks nobody.
    """
    text = json.dumps(content, indent=2, sort_keys=True) + "\n"
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    temporary.write_text(text)
    try:
        sync_file(temporary)
        os.link(temporary, path)
    except FileExistsError:
        # NFS may do it, lose the answer, and be asked again.
        return temporary.stat().st_nlink == 2
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _make_without_link(path, text)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def _make_without_link(path: Path, text: str) -> bool:
    """The same where links are not to be had: made exclusively, and whole a moment later."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return True


def write_json(path: Path, content: Any, indent: int | None = 2) -> None:
    """Write ``content`` as JSON to ``path``, whole or not at all; ``indent`` None: on one line, for what no one reads."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent, sort_keys=True) + "\n")
