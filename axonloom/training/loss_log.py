"""The course of a training on disk: one JSON object a line, ``loss.jsonl``.

Lines are appended and not synced one by one. A killed process may leave a torn last line, and lines beyond the checkpoint
that training goes on from; both are cut away when it does, so that every iteration stands there once.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from axonloom.durable import replacing

NAME = "loss.jsonl"


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The whole lines of a log; what follows a torn one is ignored. Empty where there is no file."""
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
        entries.append(entry)
    return entries


class LossLog:
    """A log open for appending, cut back to the lines up to ``iteration`` first."""

    def __init__(self, path: Path, iteration: int) -> None:
        kept = [entry for entry in read_log(path) if entry.get("iteration", 0) <= iteration]
        with replacing(path) as temporary:
            temporary.write_text("".join(json.dumps(entry) + "\n" for entry in kept))
        self._file = path.open("a")

    def append(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def sync(self) -> None:
        """Make all lines so far durable."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
