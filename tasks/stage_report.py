"""How a stage went: what it computed, what failed, and the error that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from axonloom.block_sets import BlockSet, shown
from axonloom.ledger import LedgerState
from axonloom.stage import StagePlan


@dataclass(frozen=True)
class StageReport:
    """How a stage went.

    Attributes
    ----------
    blocks, computed, done_before : numbers of blocks
    failed : block index -> traceback
    not_tried : blocks that were not tried, because the stage was given up or others were asked for
    gave_up : why the stage ended early; None when it did not
    seconds : wall time
    megavoxels_per_second : of what was computed in this run
    """

    stage: str
    fingerprint: str
    blocks: int
    computed: int
    done_before: int
    failed: Mapping[int, str] = field(default_factory=dict)
    not_tried: int = 0
    gave_up: str | None = None
    seconds: float = 0.0
    megavoxels_per_second: float = 0.0

    def __str__(self) -> str:
        rate = f", {self.megavoxels_per_second:.2f} Mvox/s" if self.computed else ""
        failed = f", {len(self.failed)} failed" if self.failed else ""
        left = f", {self.not_tried} not tried" if self.not_tried else ""
        return (
            f"{self.stage}: {self.blocks} blocks, {self.computed} computed, {self.done_before} done before{failed}{left} "
            f"in {self.seconds:.1f} s{rate}"
        )


class StageFailedError(Exception):
    """Some blocks of a stage failed; all others are done, and running again does just those.

    Attributes
    ----------
    report : StageReport
    """

    def __init__(self, report: StageReport) -> None:
        self.report = report
        first = min(report.failed)
        last = report.failed[first].strip().splitlines()[-1]
        super().__init__(f"{self.summary}; block {first}: {last}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.report,)

    @property
    def summary(self) -> str:
        """How many failed, and which: what stands beside :attr:`tracebacks`."""
        report = self.report
        ended = f"; the stage was given up, because {report.gave_up}" if report.gave_up else ""
        return f"{report.stage}: {len(report.failed)} of {report.blocks} blocks failed ({shown(report.failed)}){ended}"

    @property
    def tracebacks(self) -> dict[int, str]:
        """Block index -> traceback, for those worth showing: the first of each kind, three at most."""
        kinds: dict[str, int] = {}
        for block in sorted(self.report.failed):
            kinds.setdefault("".join(c for c in self.report.failed[block] if not c.isdigit()), block)
        return {block: self.report.failed[block] for block in list(kinds.values())[:3]}


def stage_report(
    plan: StagePlan,
    done_before: BlockSet,
    state: LedgerState,
    wanted: Sequence[int],
    gave_up: str | None,
    seconds: float,
) -> StageReport:
    """How a run over the ``wanted`` blocks of a stage went, from its ledger before and after."""
    n = len(plan.grid)
    computed = int((state.done.within(n) & ~done_before.within(n)).sum())
    missing = state.missing(wanted)
    told = state.failed
    failed = {b: told[b] for b in missing if b in told}
    if gave_up is None:
        lost = "the worker was lost before the block ended, and left no traceback"
        failed |= {b: lost for b in missing if b not in told}
    voxels = plan.grid.region.voxels / n * computed
    return StageReport(
        stage=plan.stage,
        fingerprint=plan.fingerprint,
        blocks=n,
        computed=computed,
        done_before=len(done_before),
        failed=failed,
        not_tried=n - len(state.done) - len(failed),
        gave_up=gave_up,
        seconds=seconds,
        megavoxels_per_second=voxels / 1e6 / seconds if seconds > 0 else 0.0,
    )
