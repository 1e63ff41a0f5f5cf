"""The region graph to one partition, by a heuristic: in the place of agglomeration and threshold."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.edge_table import EdgeTable
from axonloom.assembly.object_table import ObjectTable
from axonloom.config.multicut import MulticutSettings
from axonloom.geometry import Block
from axonloom.stage import Stage, StageError, StagePlan
from axonloom.stages.graph import EDGES, FRAGMENTS
from axonloom.stages.inputs import stage_folder, stage_input

PARTITION = "partition.parquet"
SOLVER = "bioimage-cpp"


class MulticutStage(Stage):
    """Writes the table from each fragment to the smallest fragment of its segment."""

    name = "multicut"
    version = 1
    bytes_read, bytes_written, memory = 0.3, 0.1, 10.0

    @classmethod
    def planned(cls, graph: StagePlan, settings: MulticutSettings) -> StagePlan:
        """Raises StageError when the solver is not installed."""
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={
                "beta": format(settings.beta.normalize(), "f"),
                "weight": settings.weight,
                "method": "greedy additive edge contraction: a heuristic, not the best partition, and for this beta alone",
                # How it breaks ties between equal costs is its own affair, so its bytes are those of its version.
                "solver": _solver(),
            },
            inputs={"graph": stage_input(graph)},
            grid=graph.grid,
            workspace=graph.workspace,
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        # Only here: planning should not wait for the solver.
        from axonloom.segmentation.multicut import multicut

        graph = stage_folder(self.plan.inputs["graph"], self.plan.workspace)
        partition = multicut(
            ObjectTable.read(graph / FRAGMENTS).ids,
            EdgeTable.read(graph / EDGES),
            self.plan.parameters["beta"],
            self.plan.parameters["weight"],
        )
        partition.write(self.plan.folder / PARTITION)
        return {"segments": len(np.unique(partition.targets))}

    def files(self, block: Block) -> list[Path]:
        return [self.plan.folder / PARTITION]


def _solver() -> str:
    try:
        return f"{SOLVER} {version(SOLVER)}"
    except PackageNotFoundError:
        raise StageError(
            f"merge.method is multicut, which {SOLVER} solves, and that is not installed: `pip install {SOLVER}`"
        ) from None
