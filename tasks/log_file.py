"""One log file a process, in the workspace that it works on."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from axonloom.workspace import WorkspaceError

#: Loggers whose records go into the file: those of flow runs, of task runs, and axonloom's own.
LOGGERS = ("prefect.flow_runs", "prefect.task_runs", "axonloom")


def open_log(workspace: Path, job: str) -> Path:
    """Start the log file of this process in ``workspace/logs``; the one that is open there already is kept.

    Raises
    ------
    WorkspaceError
        The folder cannot be written.
    """
    folder = workspace.absolute() / "logs"
    current = current_log(workspace)
    if current is not None:
        return current
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{job}-{os.getpid()}.log"
        handler = logging.FileHandler(path)
    except OSError as error:
        raise WorkspaceError(
            f"workspace: {workspace} cannot be written ({error.strerror}); name another folder"
        ) from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)
    return path


def close_log(path: Path) -> None:
    """Write no more to a log file."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            if isinstance(handler, logging.FileHandler) and handler.baseFilename == str(path):
                logger.removeHandler(handler)
                handler.close()


def current_log(workspace: Path) -> Path | None:
    """The log file that this process writes in a workspace."""
    folder = workspace.absolute() / "logs"
    for handler in logging.getLogger(LOGGERS[0]).handlers:
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename).parent == folder:
            return Path(handler.baseFilename)
    return None
