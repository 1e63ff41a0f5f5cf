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
        pace = Pace()
        kept = checkpoint_paths(log.parent)
        if kept and number_of(kept[-1]) < iterations:
            console.print(f"train: goes on from {kept[-1].name}")
        told = time.monotonic()
        while not stop.wait(INTERVAL):
            entry = _last_line(log)
            if entry is None:
                continue
            pace.see(int(entry["iteration"]), float(entry.get("scoring_seconds", 0.0)), time.monotonic())
            facts = f"loss {entry['loss']:.3f}, {pace.rate:.2f} iterations/s"
            if pace.scoring_share:
                facts += f", {pace.scoring_share:.0%} of the time scoring"
            shown.update(bar, completed=pace.done, facts=facts)
            if not console.is_terminal and time.monotonic() - told > PATIENCE:
                told = time.monotonic()
                left = f", {pace.seconds_left(iterations) / 60:.0f} minutes left" if pace.rate else ""
                console.print(f"train: iteration {pace.done} of {iterations}, {facts}{left}")


class Pace:
    """Iterations a second, without the time in which what is held out was segmented and scored.

    Attributes
    ----------
    done : int
        The last iteration seen.
    """

    def __init__(self) -> None:
        self.done = -1
        self._first = 0
        self._began = self._now = 0.0
        self._scoring = self._told = 0.0

    def see(self, done: int, scoring_seconds: float, now: float) -> None:
        """Note an iteration, what scoring took in its stretch up to it, and the time (s)."""
        if done == self.done:
            return  # nothing new; while scoring goes on no iteration can be
        if self.done < 0 or done < self._first:
            self._first, self._began, self._scoring = done, now, 0.0
        elif scoring_seconds >= self._told:
            self._scoring += scoring_seconds - self._told
        else:  # another stretch, which counts anew
            self._scoring += scoring_seconds
        self.done, self._now, self._told = done, now, scoring_seconds

    @property
    def rate(self) -> float:
        """Iterations a second of training."""
        return max(self.done - self._first, 0) / max(self._now - self._began - self._scoring, 1e-9)

    @property
    def scoring_share(self) -> float:
        """Of the time since the first iteration seen."""
        return self._scoring / max(self._now - self._began, 1e-9) if self._scoring else 0.0

    def seconds_left(self, iterations: int) -> float:
        """Until so many are done, scoring included."""
        return (iterations - self.done) * (self._now - self._began) / max(self.done - self._first, 1)


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
