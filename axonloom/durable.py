"""Writing files so that a reader finds the old one or the whole new one, never a half."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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


def write_json(path: Path, content: Any, indent: int | None = 2) -> None:
    """Write ``content`` as JSON to ``path``, whole or not at all; ``indent`` None: on one line, for what no one reads."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent, sort_keys=True) + "\n")
