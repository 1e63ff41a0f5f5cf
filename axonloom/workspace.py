"""The folder that holds everything made on the way to a segmentation."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from axonloom.bad_input import BadInputError
from axonloom.durable import write_json

FORMAT_VERSION = 1
MARKER = "workspace.json"
#: Stands for the workspace in the paths of what is written, so that a workspace may be moved.
PLACE = "{workspace}"


class WorkspaceError(BadInputError):
    """A folder that cannot serve as workspace."""


def workspace_id(folder: Path) -> str:
    """The identity of a workspace, kept when it is moved; made on first use.

    Raises
    ------
    WorkspaceError
        A newer axonloom made it, or the name belongs to a file.
    """
    path = folder / MARKER
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        write_json(path, {"format_version": FORMAT_VERSION, "id": uuid.uuid4().hex})
        return workspace_id(folder)
    except NotADirectoryError:
        raise WorkspaceError(f"workspace: {folder} is a file; name a folder") from None
    if content["format_version"] > FORMAT_VERSION:
        raise WorkspaceError(f"workspace: {folder} was made by a newer axonloom; install that version to go on with it")
    return content["id"]


def placed(path: str, workspace: Path) -> str:
    """``path`` with :data:`PLACE` filled in."""
    return path.replace(PLACE, str(workspace.absolute()))


def portable(path: str, workspace: Path) -> str:
    """``path`` as plans state it: below :data:`PLACE` where it lies in the workspace, else as it is."""
    scheme, separator, location = path.rpartition("://")
    if not Path(location).is_relative_to(workspace.absolute()):
        return path
    return f"{scheme}{separator}{Path(PLACE) / Path(location).relative_to(workspace.absolute())}"
