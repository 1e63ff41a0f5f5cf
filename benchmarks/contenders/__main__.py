"""One step of one contender, in a process of its own: ``python -m benchmarks.contenders STEP.json`` (benchmarks.segmentation calls it)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.contenders.job import Contender, Job


def _axonloom(score: str | None) -> Contender:
    from benchmarks.contenders.axonloom_flows import AxonloomFlows

    return AxonloomFlows(score)


def _waterz_whole(score: str) -> Contender:
    from benchmarks.contenders.waterz import WaterzWhole

    return WaterzWhole(score)


def _waterz_blocks(score: str) -> Contender:
    from benchmarks.contenders.waterz import WaterzBlocks

    return WaterzBlocks(score)


def _volara() -> Contender:
    from benchmarks.contenders.volara import Volara

    return Volara()


CONTENDERS: dict[str, Callable[[], Contender]] = {
    "axonloom": lambda: _axonloom("mean"),
    "axonloom_aff60_his32": lambda: _axonloom("aff60_his32"),
    "axonloom_multicut": lambda: _axonloom(None),
    "waterz_whole": lambda: _waterz_whole("mean"),
    "waterz_whole_aff50_his256": lambda: _waterz_whole("aff50_his256"),
    "waterz_blocks": lambda: _waterz_blocks("mean"),
    "waterz_blocks_aff50_his256": lambda: _waterz_blocks("aff50_his256"),
    "volara": _volara,
}


def step(given: dict[str, Any]) -> dict[str, Any]:
    """VOI by threshold where several are given, else the measurements at the one."""
    paths = {name: Path(given["job"][name]) for name in ("folder", "scratch")}
    boxes = {name: tuple(given["job"][name]) for name in ("blocks", "large_blocks")}
    job = Job(**{**given["job"], **paths, **boxes})
    contender = CONTENDERS[given["contender"]]()
    thresholds = [Decimal(t) for t in given["thresholds"]]
    if given["step"] == "tune":
        return {str(t): voi for t, voi in contender.tune(job, thresholds).items()}
    return contender.measure(job, thresholds[0])


if __name__ == "__main__":
    print(json.dumps(step(json.loads(Path(sys.argv[1]).read_text()))))
