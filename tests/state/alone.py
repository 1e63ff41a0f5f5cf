"""A chain run block by block in this process: no flow, no server."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from axonloom.lease import holding
from axonloom.runner import run_blocks
from axonloom.stage import StagePlan
from axonloom.stages.layer_stage import LayerStage
from axonloom.stages.registry import open_stage


def chain_of(config: Path, *overrides: str) -> Chain:
    return Chain(load_configuration(config, overrides))


def run(plan: StagePlan, blocks: Iterable[int] | None = None) -> None:
    """Run some blocks of a stage (default: all), as a flow would."""
    plan.save()
    stage = open_stage(plan.folder)
    with ExitStack() as held:
        if isinstance(stage, LayerStage):
            stage.hold(held.enter_context(holding(stage.layer.lease, plan.fingerprint)))
        stage.prepare()
        report = run_blocks(stage, range(len(plan.grid)) if blocks is None else blocks)
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
