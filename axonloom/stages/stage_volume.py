"""The volumes that stages keep in their folders."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from axonloom.durable import sync_file, sync_folder
from axonloom.volumes import create_volume


def ensure_volume(path: Path, **layout: Any) -> None:
    """Make the zarr array ``path`` unless it is there; ``layout`` is that of :func:`axonloom.volumes.create_volume`.

    Built under another name and renamed whole: a process that is killed while it creates leaves nothing that looks like a
    volume, and two that create at once leave one.
    """
    if path.exists():
        return
    building = path.with_name(f"building-{uuid.uuid4().hex[:12]}.zarr")
    try:
        create_volume(str(building), **layout)
        # The name comes last: after a power cut, it must not stand for files that are empty.
        for written in sorted(building.rglob("*"), reverse=True):
            sync_folder(written) if written.is_dir() else sync_file(written)
        sync_folder(building)
        os.rename(building, path)
    except OSError:
        if not path.exists():
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    sync_folder(path.parent)
