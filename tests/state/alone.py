"""A chain run block by block in this process: no flow, no server."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from axonloom.alone import run_alone
from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from axonloom.stage import StagePlan


def chain_of(config: Path, *overrides: str) -> Chain:
    return Chain(load_configuration(config, overrides))


def run(plan: StagePlan, blocks: Iterable[int] | None = None) -> None:
    """Run some blocks of a stage (default: all), all of which must succeed."""
    report = run_alone(plan, blocks)
    assert not report.failed, report.failed


def run_all(chain: Chain) -> None:
    for plan in chain.stages():
        run(plan)


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below ``folder`` with size and time of last change."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size if path.is_file() else -1, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }
