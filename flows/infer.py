"""Images to affinities."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from axonloom.stage import StagePlan
from tasks.job import as_job
from tasks.run_stage import run_stage
from tasks.samples import show_prediction
from tasks.workers import Workers, require_device_chosen


@flow(name="infer", flow_run_name="infer {configuration.workspace.name}")
@as_job
def infer(configuration: Configuration) -> dict[str, Any]:
    """Run the network over the images, block by block; the stored affinities do not depend on the blocks."""
    chain = Chain(configuration)
    warning = chain.voxel_size_warning()
    if warning is not None:
        get_run_logger().warning(warning)
    with Workers(configuration.compute) as workers:
        require_device_chosen(configuration.infer, workers.settings)
        run_stage(chain.infer, workers, configuration.failures)
    show_prediction(chain)
    return {"affinities": str(chain.infer.folder / "affinities.zarr"), **_left_out(chain.infer)}


def _left_out(plan: StagePlan) -> dict[str, int]:
    """Blocks without tissue and windows that show one grey value, where there are any."""
    blocks, windows = set[int](), dict[int, int]()
    for line in plan.ledger.facts():
        if line.get("without_tissue"):
            blocks.add(int(line["block"]))
        windows[int(line["block"])] = int(line.get("blank_windows", 0))
    found = {"blocks_without_tissue": len(blocks), "blank_windows": sum(windows.values())}
    return {name: number for name, number in found.items() if number}
