"""Whether what a stage will write fits on its disk, asked before it begins."""

from __future__ import annotations

import shutil
from pathlib import Path

from axonloom.runner import StoppedError
from axonloom.stage import Stage, StagePlan
from axonloom.stages.layer_stage import layer_of


def output_folder(plan: StagePlan) -> Path:
    """Where a stage writes most: its folder, or that of the layer it fills."""
    return layer_of(plan).folder if "layer" in plan.parameters else plan.folder


def free_bytes(folder: Path) -> int:
    """Bytes free for us on the disk of ``folder``, which need not be there yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def bytes_needed(stage: type[Stage] | Stage, plan: StagePlan, blocks: int) -> int:
    """Bytes on disk that so many blocks of a stage are expected to take."""
    return int(stage.bytes_written * plan.grid.region.voxels / len(plan.grid) * blocks)


def require_room(plan: StagePlan, stage: Stage, blocks: int) -> None:
    """Raise StoppedError when ``blocks`` more blocks are not expected to fit: better now than in the middle of the night."""
    folder = output_folder(plan)
    needed, free = bytes_needed(stage, plan, blocks), free_bytes(folder)
    if needed > free:
        raise StoppedError(
            f"{plan.stage} is expected to write {readable(needed)} to {folder}, where {readable(free)} are free: make room and "
            "run again"
        )


def readable(size: float) -> str:
    """A number of bytes for people: 1.5 GB (powers of 1000, as disks are sold)."""
    units = ["B", "kB", "MB", "GB", "TB", "PB"]
    power = 0
    while size >= 999.5 and power < len(units) - 1:
        size, power = size / 1000, power + 1
    return f"{size:.0f} {units[power]}" if power == 0 or size >= 99.95 else f"{size:.1f} {units[power]}"
