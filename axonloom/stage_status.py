"""How a stage stands, by what lies in the workspace.

A block is *done* when its ledger line is on disk; *running* when a living process has begun it and said nothing more;
*failed* when it raised since it was last done and is not running; else *missing*. A stage is *stale* when it is not all done
while the same stage has more to show for other parameters: what it holds cannot be used for the present ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from axonloom.lazy import lazy
from axonloom.ledger import Ledger, LedgerState
from axonloom.liveness import SILENT_FOR, is_alive
from axonloom.measured import relatives
from axonloom.stage import StagePlan
from axonloom.stage_difference import differences
from axonloom.stages.layer_stage import current_state

#: States of a block in a map, as :func:`axonloom.pictures.block_map` has them.
MISSING, RUNNING, DONE, FAILED = range(4)


@dataclass(frozen=True)
class Stale:
    """A result of the same stage with other parameters.

    Attributes
    ----------
    fingerprint : of that result, 16 digits
    blocks, done : of its grid
    differs : what differs, a phrase each
    """

    fingerprint: str
    blocks: int
    done: int
    differs: tuple[str, ...]


@dataclass(frozen=True)
class StageStatus:
    """How one stage stands.

    Attributes
    ----------
    plan : StagePlan
    state : what its ledger says
    running : blocks that living processes compute now
    stale : what there is under other parameters, when that is more; None otherwise
    """

    plan: StagePlan
    state: LedgerState
    running: frozenset[int]
    stale: Stale | None

    @lazy
    def blocks(self) -> np.ndarray:
        """State of each block, uint8 (z, y, x)."""
        n = len(self.plan.grid)
        states = np.zeros(n, np.uint8)
        states[[b for b in self.failed if b < n]] = FAILED
        states[sorted(self.running)] = RUNNING
        states[self.state.done.within(n)] = DONE
        return states.reshape(self.plan.grid.counts)

    @lazy
    def failed(self) -> dict[int, str]:
        """Block index -> traceback of those that failed and are not being tried again."""
        return {b: trace for b, trace in sorted(self.state.failed.items()) if b not in self.running}

    @property
    def failed_alike(self) -> dict[str, list[int]]:
        """Last line of the traceback -> the blocks that failed with it."""
        found: dict[str, list[int]] = {}
        for block, trace in self.failed.items():
            found.setdefault(_last_line(trace) or "no traceback", []).append(block)
        return found

    @property
    def total(self) -> int:
        return len(self.plan.grid)

    @lazy
    def done(self) -> int:
        return int((self.blocks == DONE).sum())

    @property
    def missing(self) -> int:
        return self.total - self.done - len(self.running) - len(self.failed)

    @property
    def verdict(self) -> str:
        """done, running, failed, stale, missing (nothing done yet), or part (some blocks done, none running)."""
        if self.done == self.total:
            return "done"
        if self.running:
            return "running"
        if self.stale is not None:
            return "stale"
        if self.failed:
            return "failed"
        return "part" if self.done else "missing"

    @property
    def block_seconds(self) -> float | None:
        """Mean time of a block on one worker; None before the first."""
        return self.state.seconds / self.state.finished if self.state.finished else None

    @property
    def blocks_per_second(self) -> float | None:
        """With the workers that run now; None when none does or no block has ended yet."""
        return len(self.running) / self.block_seconds if self.running and self.block_seconds else None

    @property
    def megavoxels_per_second(self) -> float | None:
        rate = self.blocks_per_second
        return rate * self.plan.grid.region.voxels / self.total / 1e6 if rate else None

    @property
    def seconds_left(self) -> float | None:
        """Until the stage is done at that rate."""
        rate = self.blocks_per_second
        return (self.total - self.done) / rate if rate else None

    def to_json(self) -> dict[str, Any]:
        """Everything for programs."""
        return {
            "stage": self.plan.stage,
            "mip": self.plan.parameters.get("mip"),
            "level": self.plan.parameters.get("level"),
            "fingerprint": self.plan.folder.name,
            "folder": str(self.plan.folder),
            "state": self.verdict,
            "blocks": self.total,
            "done": self.done,
            "running": len(self.running),
            "failed": len(self.failed),
            "missing": self.missing,
            "failed_blocks": list(self.failed),
            "errors": {b: _last_line(trace) for b, trace in list(self.failed.items())[:10]},
            "seconds": round(self.state.seconds, 3),
            "block_seconds": self.block_seconds,
            "blocks_per_second": self.blocks_per_second,
            "seconds_left": self.seconds_left,
            "stale": None
            if self.stale is None
            else {
                "fingerprint": self.stale.fingerprint,
                "blocks": self.stale.blocks,
                "done": self.stale.done,
                "differs": list(self.stale.differs),
            },
        }


def stage_status(plan: StagePlan) -> StageStatus:
    """Look at a stage as it is on disk now; changes nothing."""
    state = current_state(plan)
    n = len(plan.grid)
    running = frozenset(b for b in running_blocks(plan.ledger, state) if b not in state.done and b < n)
    stale = None if len(state.done) >= n else _stale(plan, len(state.done) / n)
    return StageStatus(plan, state, running, stale)


def running_blocks(ledger: Ledger, state: LedgerState) -> set[int]:
    """Blocks that a living process has begun, and neither finished nor seen fail."""
    found: set[int] = set()
    # A slow block writes nothing for as long as it takes.
    patience = max(0.0, 3 * state.seconds / state.finished - SILENT_FOR) if state.finished else 0.0
    for name, tail in state.tails.items():
        if tail.open:
            try:
                last_sign = (ledger.folder / name).stat().st_mtime
            except FileNotFoundError:
                continue
            if is_alive(tail.host, tail.pid, tail.process_started, last_sign + patience):
                found |= tail.open
    return found


def _stale(plan: StagePlan, share: float) -> Stale | None:
    newest: tuple[float, StagePlan, int] | None = None
    for other in relatives(plan):
        state = current_state(other)
        if len(state.done) / len(other.grid) > share and state.finished_at is not None:
            at = state.finished_at[1]
            if newest is None or at > newest[0]:
                newest = at, other, len(state.done)
    if newest is None:
        return None
    _, other, done = newest
    return Stale(other.folder.name, len(other.grid), done, tuple(differences(other, plan)))


def _last_line(trace: str) -> str:
    return trace.strip().splitlines()[-1] if trace.strip() else ""
