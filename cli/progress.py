"""Progress bars from the ledger: they show what is on disk, whoever computes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import TaskID

from axonloom.stage import StagePlan
from axonloom.stages.layer_stage import current_state
from cli.bars import bars, painting

INTERVAL = 0.5
#: Seconds between two lines where there is no terminal.
LINES = 60.0


def stage_progress(plans: Sequence[StagePlan], console: Console) -> AbstractContextManager[None]:
    """Bars for the stages, one a stage, shown as each begins; where there is no terminal a line a minute and a finished stage."""
    return painting(lambda stop: _paint(plans, console, stop))


@dataclass
class _Begun:
    """A stage that is being watched: its bar, how many blocks were done then, and when that was."""

    bar: TaskID
    before: float
    since: float
    told: float


def _paint(plans: Sequence[StagePlan], console: Console, stop: threading.Event) -> None:
    with bars(console) as shown:
        begun: dict[int, _Begun] = {}
        told: set[int] = set()
        at_first = [len(current_state(plan).done) if plan.ledger.folder.is_dir() else 0 for plan in plans]
        while True:
            ending, looked = stop.is_set(), time.monotonic()
            for k, plan in enumerate(plans):
                if k in told or not plan.ledger.folder.is_dir():
                    continue
                finished = current_state(plan).done
                total = len(plan.grid)
                # Blocks of inference may take minutes each: what is done of them counts too.
                done = min(len(finished) + plan.running.share(finished), total)
                now = time.monotonic()
                if k not in begun:
                    bar = shown.add_task(plan.title, total=total, completed=done, facts="")
                    begun[k] = _Begun(bar, done, now, now)
                watched = begun[k]
                rate = _rate(plan, done - watched.before, now - watched.since)
                shown.update(watched.bar, completed=done, facts=rate)
                if len(finished) == total:
                    told.add(k)
                    if not console.is_terminal:
                        console.print(
                            f"{plan.title}: {total} blocks done{_before(at_first[k], total)}{rate and ' at '}{rate}"
                        )
                elif not console.is_terminal and now - watched.told >= LINES:
                    watched.told = now
                    left = _left(total - done, done - watched.before, now - watched.since)
                    console.print(
                        f"{plan.title}: {len(finished)} of {total} blocks, {done / total:.0%}{rate and ', '}{rate}{left}"
                    )
            if ending:
                return
            # A large ledger takes time to read: looking must stay a small share of the work.
            stop.wait(max(INTERVAL, 20 * (time.monotonic() - looked)))


def _before(done: int, total: int) -> str:
    return " before" if done == total else f" ({done} of them before)" if done else ""


def _rate(plan: StagePlan, blocks: float, seconds: float) -> str:
    if blocks <= 0 or seconds < 1:
        return ""
    if plan.grid.shape == (1, 1, 1):  # blocks that are files
        return f"{blocks / seconds:.2g} a second"
    z, y, x = plan.grid.region.shape
    return f"{blocks / len(plan.grid) * z * y * x / 1e6 / seconds:.2f} Mvox/s"


def _left(blocks: float, done: float, seconds: float) -> str:
    if done <= 0:
        return ""
    minutes = round(blocks / done * seconds / 60)
    return (
        f", about {minutes // 60} h {minutes % 60} min left" if minutes >= 60 else f", about {max(minutes, 1)} min left"
    )
