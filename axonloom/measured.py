"""How long blocks took, by what ledgers say: this stage's own, else those of the same stage with other parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from axonloom.stage import PLAN, StageError, StagePlan

#: The end of the name of a stage folder that is being deleted.
DELETED = ".deleted"


@dataclass(frozen=True)
class BlockTime:
    """Seconds that one block of a stage takes on one worker.

    Attributes
    ----------
    seconds : mean of what was measured, scaled to this stage's blocks by their voxels
    measured_on : fingerprint (16 digits) of the stage that was measured
    most : whether most of that stage's blocks were; the first ones may lie where there is little to do
    """

    seconds: float
    measured_on: str
    most: bool


def block_time(plan: StagePlan) -> BlockTime | None:
    """What blocks of ``plan`` take, from its own ledger or from that of its largest relative; None where nothing was run."""
    own = _seconds_per_voxel(plan)
    if own is not None:
        return BlockTime(own * _block_voxels(plan), plan.folder.name, _mostly_finished(plan))
    best: tuple[int, StagePlan, float] | None = None
    for other in relatives(plan):
        rate = _seconds_per_voxel(other)
        finished = other.ledger.read().finished * _block_voxels(other)
        if rate is not None and (best is None or finished > best[0]):
            best = int(finished), other, rate
    if best is None:
        return None
    _, other, rate = best
    return BlockTime(rate * _block_voxels(plan), other.folder.name, _mostly_finished(other))


def relatives(plan: StagePlan) -> Iterator[StagePlan]:
    """Plans of the same stage (and scale or level) in the same workspace under other fingerprints, as they lie there."""
    for folder in sorted(plan.folder.parent.glob("*/")):
        if folder.name != plan.folder.name and _is_stage(folder):
            try:
                other = StagePlan.load(folder)
            except (StageError, ValueError, KeyError):
                # Of another version, or damaged: of no use here, and no reason not to go on.
                continue
            if role(other) == role(plan):
                yield other


def role(plan: StagePlan) -> tuple[str, object]:
    """What a stage is in its chain: its name, with the scale of a pyramid or the level of an agglomeration."""
    return plan.stage, plan.number


def stage_folders(workspace: Path) -> Iterator[Path]:
    """All stage folders of a workspace: below a stage's name, called by a fingerprint."""
    yield from sorted(path.parent for path in workspace.glob(f"*/*/{PLAN}") if _is_stage(path.parent))


def _is_stage(folder: Path) -> bool:
    return not folder.name.endswith(DELETED) and (folder / PLAN).exists()


def _seconds_per_voxel(plan: StagePlan) -> float | None:
    state = plan.ledger.read()
    return state.seconds / (state.finished * _block_voxels(plan)) if state.finished else None


def _mostly_finished(plan: StagePlan) -> bool:
    return 2 * plan.ledger.read().finished > len(plan.grid)


def _block_voxels(plan: StagePlan) -> float:
    """Voxels of a block, on average: those at the region's end are smaller."""
    return plan.grid.region.voxels / len(plan.grid)
