"""Writing a folder so that a reader finds none, the old one, or the whole new one."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from axonloom.durable import sync_file, sync_folder

#: How the name of a folder begins that is not whole yet, or that has been replaced.
BUILDING = ".building-"


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A hidden folder beside ``path`` for files; when the block ends well they are synced, and it takes the name ``path``.

    When the block raises, nothing is left. A process that is killed leaves the hidden folder, which nobody takes for whole; with
    ``replace``, between two renames, nothing under the name ``path``, and the old folder under a hidden one.

    Raises
    ------
    FileExistsError
        There is something of that name, also where another process was faster; not with ``replace``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.parent / f"{BUILDING}{path.name}-{uuid.uuid4().hex[:12]}"
    hidden.mkdir()
    try:
        yield hidden
        for each in hidden.iterdir():
            sync_file(each)
        sync_folder(hidden)
        if replace and path.exists():
            # A folder cannot be renamed onto a full one.
            old = path.parent / f"{BUILDING}{path.name}-{uuid.uuid4().hex[:12]}"
            path.rename(old)
            hidden.rename(path)
            shutil.rmtree(old)
        else:
            _rename(hidden, path)
        sync_folder(path.parent)
    finally:
        if hidden.exists():
            shutil.rmtree(hidden)


def _rename(hidden: Path, path: Path) -> None:
    try:
        hidden.rename(path)
    except OSError as error:
        # Full folders and files stay; which error says so differs between file systems.
        if path.exists():
            raise FileExistsError(str(path)) from error
        raise
