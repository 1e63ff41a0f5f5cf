"""How far the blocks are that run just now, for whoever watches. Hints: nothing depends on them, and they are never synced."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

#: Seconds between two notes on a block.
INTERVAL = 2.0
#: A note that is older (seconds) was left by a process that died.
OLDEST = 600.0


class RunningBlocks:
    """A file for each block that runs, with the share of it that is done.

    Parameters
    ----------
    folder : made at the first note
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._noted: dict[int, float] = {}

    def note(self, block: int, share: float) -> None:
        """Say that ``share`` (0..1) of a block is done; it costs something every two seconds only."""
        now = time.monotonic()
        if now - self._noted.get(block, -INTERVAL) < INTERVAL:
            return
        self._noted[block] = now
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / str(block)).write_text(f"{share:.4f}")

    def forget(self, block: int) -> None:
        """The block has ended, well or not."""
        if self._noted.pop(block, None) is not None:
            with suppress(OSError):
                (self.folder / str(block)).unlink(missing_ok=True)

    def share(self, done: Collection[int]) -> float:
        """Blocks' worth of work in those that run and are not in ``done``."""
        total = 0.0
        with suppress(OSError):
            for path in self.folder.iterdir():
                # A note may be half-written, or gone by now.
                with suppress(OSError, ValueError):
                    if int(path.name) not in done and time.time() - path.stat().st_mtime < OLDEST:
                        total += min(max(float(path.read_text()), 0.0), 1.0)
        return total
