"""The course of a training on disk: one JSON object a line, ``loss.jsonl``; the first says which format it is.

Lines are appended and not synced one by one. A killed process may leave a torn last line, and lines beyond the checkpoint
that training goes on from; both are cut away when it does, so that every iteration stands there once.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from axonloom.bad_input import BadInputError
from axonloom.durable import replacing

NAME = "loss.jsonl"
FORMAT_VERSION = 1


class LossLogError(BadInputError):
    """A log that this version does not know how to read."""


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The entries of a log; what follows a torn line is ignored. Empty where there is no file.

    Raises
    ------
    LossLogError
        A newer axonloom wrote it.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return []
    entries: list[dict[str, Any]] = []
    for line in content.split(b"\n")[:-1]:
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if not isinstance(entry, dict):
            break
        if entry.get("format_version", 0) > FORMAT_VERSION:
            raise LossLogError(
                f"{path} was written by a newer axonloom: install that version to go on with this training"
            )
        if "iteration" in entry:
            entries.append(entry)
    return entries


class LossLog:
    """A log open for appending, cut back to the lines up to ``iteration`` first."""

    def __init__(self, path: Path, iteration: int) -> None:
        kept = [entry for entry in read_log(path) if entry["iteration"] <= iteration]
        with replacing(path) as temporary:
            temporary.write_text(
                "".join(json.dumps(entry) + "\n" for entry in [{"format_version": FORMAT_VERSION}, *kept])
            )
        self._file = path.open("a")

    def append(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Make all lines so far durable."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
