"""Progress bars from the ledger: they show what is on disk, whoever computes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager

from rich.console import Console
from rich.progress import TaskID

from axonloom.stage import StagePlan
from axonloom.stages.layer_stage import current_state
from cli.bars import bars, painting

INTERVAL = 0.5


def stage_progress(plans: Sequence[StagePlan], console: Console) -> AbstractContextManager[None]:
    """Bars for the stages, one a stage, shown as each begins; a line a finished stage where there is no terminal."""
    return painting(lambda stop: _paint(plans, console, stop))


def _paint(plans: Sequence[StagePlan], console: Console, stop: threading.Event) -> None:
    with bars(console) as shown:
        begun: dict[int, tuple[TaskID, int, float]] = {}
        told: set[int] = set()
        at_first = [len(current_state(plan).done) if plan.ledger.folder.is_dir() else 0 for plan in plans]
        while True:
            ending, looked = stop.is_set(), time.monotonic()
            for k, plan in enumerate(plans):
                if k in told or not plan.ledger.folder.is_dir():
                    continue
                done = len(current_state(plan).done)
                total = len(plan.grid)
                if k not in begun:
                    bar = shown.add_task(plan.title, total=total, completed=done, facts="")
                    begun[k] = (bar, done, time.monotonic())
                bar, before, since = begun[k]
                rate = _rate(plan, done - before, time.monotonic() - since)
                shown.update(bar, completed=done, facts=rate)
                if done == total:
                    told.add(k)
                    if not console.is_terminal:
                        console.print(
                            f"{plan.title}: {total} blocks done{_before(at_first[k], total)}{rate and ' at '}{rate}"
                        )
            if ending:
                return
            # A large ledger takes time to read: looking must stay a small share of the work.
            stop.wait(max(INTERVAL, 20 * (time.monotonic() - looked)))


def _before(done: int, total: int) -> str:
    return " before" if done == total else f" ({done} of them before)" if done else ""


def _rate(plan: StagePlan, blocks: int, seconds: float) -> str:
    if blocks < 1 or seconds < 1 or len(plan.grid) == 1:
        return ""
    z, y, x = plan.grid.region.shape
    return f"{blocks / len(plan.grid) * z * y * x / 1e6 / seconds:.2f} Mvox/s"
