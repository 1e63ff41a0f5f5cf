"""The progress of a training, from its log on disk."""

from __future__ import annotations

import json
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from rich.console import Console

from axonloom.networks.checkpoint_folder import checkpoint_paths, number_of
from cli.bars import bars, painting

INTERVAL = 1.0
#: Seconds between two lines where there is no terminal.
PATIENCE = 60.0


def training_progress(log: Path, iterations: int, console: Console) -> AbstractContextManager[None]:
    """A bar with loss and iterations per second; a line a minute where there is no terminal."""
    return painting(lambda stop: _paint(log, iterations, console, stop))


def _paint(log: Path, iterations: int, console: Console, stop: threading.Event) -> None:
    with bars(console) as shown:
        bar = shown.add_task("train", total=iterations, facts="")
        first: tuple[int, float] | None = None
        kept = checkpoint_paths(log.parent)
        if kept and number_of(kept[-1]) < iterations:
            console.print(f"train: goes on from {kept[-1].name}")
        told = time.monotonic()
        while not stop.wait(INTERVAL):
            entry = _last_line(log)
            if entry is None:
                continue
            done = int(entry["iteration"])
            if first is None or done < first[0]:
                first = done, time.monotonic()
            rate = (done - first[0]) / max(time.monotonic() - first[1], 1e-9)
            facts = f"loss {entry['loss']:.3f}, {rate:.2f} iterations/s"
            shown.update(bar, completed=done, facts=facts)
            if not console.is_terminal and time.monotonic() - told > PATIENCE:
                told = time.monotonic()
                left = f", {(iterations - done) / rate / 60:.0f} minutes left" if rate else ""
                console.print(f"train: iteration {done} of {iterations}, {facts}{left}")


def _last_line(log: Path) -> dict[str, Any] | None:
    """The last entry of a log that another thread writes."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if "iteration" in entry:
            return entry
    return None
