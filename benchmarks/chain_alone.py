"""The stages from affinities to the written segmentation (and the counts against labels), block after block in this process: no flow, no server, one thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from axonloom.alone import run_alone
from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from axonloom.geometry import Zyx
from axonloom.stage import StagePlan
from axonloom.stages.registry import stage_class


def make_chain(folder: Path, affinities: str, block: Zyx, shape: Zyx | None = None, **more: Any) -> Chain:
    """A project in ``folder`` with given affinities, or the corner of them that has some shape; ``more`` are sections of its
    configuration.
    """
    given: dict[str, Any] = {"path": affinities}
    if shape is not None:
        given["region"] = {"start": [0, 0, 0], "stop": list(shape)}
    volumes = {"affinities": given, **more.pop("volumes", {})}
    return _chain(folder, {"volumes": volumes, "blocks": {"shape": list(block)}, **more})


def make_images_chain(folder: Path, image: str, **more: Any) -> Chain:
    """A project in ``folder`` with an image to predict."""
    return _chain(folder, {"volumes": {"image": {"path": image}}, **more})


def _chain(folder: Path, content: dict[str, Any]) -> Chain:
    config = folder / "axonloom.yaml"
    config.write_text(yaml.safe_dump({"workspace": "work", **content}))
    return Chain(load_configuration(config))


def import_stages(chain: Chain) -> None:
    """Import what the stages need, so that it is not counted with them."""
    for plan in planned_stages(chain):
        stage_class(plan.stage)


def run_stages(chain: Chain) -> Iterator[StagePlan]:
    """Run stage after stage; each is given out when it is done."""
    for plan in planned_stages(chain):
        report = run_alone(plan)
        if report.failed:
            raise RuntimeError(next(iter(report.failed.values())))
        yield plan


def planned_stages(chain: Chain) -> list[StagePlan]:
    """The stages from affinities on, in order."""
    return [plan for plan in chain.stages() if plan.stage != "infer"]
