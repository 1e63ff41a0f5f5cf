"""A stage: one job done to every block of a grid, and the plan that says all there is to say about it.

A stage's folder describes itself. ``stage.json`` holds the plan: which stage, its parameters, the identity of its inputs and
its geometry, and the fingerprint over all of these. A worker on any machine needs the folder and a list of block numbers, and
nothing else. Workers, batches and log levels are not part of a plan, so they make nothing stale.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from axonloom.bad_input import BadInputError
from axonloom.durable import write_json
from axonloom.geometry import Block, BlockGrid, Box
from axonloom.lazy import lazy
from axonloom.ledger import Ledger
from axonloom.provenance import fingerprint, software
from axonloom.running import RunningBlocks
from axonloom.volumes.volume import Volume

FORMAT_VERSION = 1
PLAN = "stage.json"


class StageError(BadInputError):
    """A stage that cannot run as asked, in one sentence."""


@dataclass(frozen=True)
class StagePlan:
    """Everything that decides the bytes of a stage's output.

    Attributes
    ----------
    stage : str
        Name in :data:`axonloom.stages.STAGES`.
    version : int
        Of the stage's algorithm: raised whenever its bytes change.
    parameters : plain JSON
    inputs : name -> plain JSON with ``identity`` (what makes it this input) and whatever reopens it
    grid : BlockGrid
    workspace : folder
        Outputs lie under ``workspace/stage/fingerprint``.
    """

    stage: str
    version: int
    parameters: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, Any]]
    grid: BlockGrid
    workspace: Path = field(compare=False)

    @lazy
    def fingerprint(self) -> str:
        return fingerprint(
            {
                "stage": self.stage,
                "version": self.version,
                "parameters": dict(self.parameters),
                "inputs": {name: given["identity"] for name, given in self.inputs.items()},
                "grid": self._grid_as_json(),
            }
        )

    @property
    def folder(self) -> Path:
        return self.workspace / self.stage / self.fingerprint[:16]

    @property
    def number(self) -> int | None:
        """Of the scale or level, where a chain has several stages of this name."""
        return self.parameters.get("mip", self.parameters.get("level"))

    @property
    def title(self) -> str:
        """The stage's name and number."""
        return self.stage if self.number is None else f"{self.stage} {self.number}"

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.folder / "ledger")

    @property
    def running(self) -> RunningBlocks:
        return RunningBlocks(self.folder / "running")

    @property
    def lease(self) -> Path:
        """Which run computes this stage now; beside the folder, so that it outlives it."""
        return lease_of(self.folder)

    def save(self) -> None:
        """Write ``stage.json``, unless it says the same already.

        The fingerprint does not hold where inputs lie, so a file that was moved is found where it is now.
        """
        content = {
            "format_version": FORMAT_VERSION,
            "fingerprint": self.fingerprint,
            "stage": self.stage,
            "version": self.version,
            "parameters": dict(self.parameters),
            "inputs": {name: dict(given) for name, given in self.inputs.items()},
            "grid": self._grid_as_json(),
        }
        path = self.folder / PLAN
        if path.exists():
            known = json.loads(path.read_text())
            if {key: known.get(key) for key in content} == json.loads(json.dumps(content)):
                return
        write_json(path, {**content, "software": software()})

    @classmethod
    def load(cls, folder: Path) -> StagePlan:
        """The plan in a stage's folder.

        Raises
        ------
        StageError
            There is none, a newer axonloom wrote it, or it does not say what its folder's name says.
        """
        path = Path(folder) / PLAN
        if not path.exists():
            raise StageError(f"{folder} is no stage of a workspace: it has no {PLAN}")
        content = json.loads(path.read_text())
        if content["format_version"] > FORMAT_VERSION:
            raise StageError(
                f"{path} was written by a newer axonloom (format {content['format_version']}, this one reads "
                f"{FORMAT_VERSION})"
            )
        grid = content["grid"]
        plan = cls(
            stage=content["stage"],
            version=content["version"],
            parameters=content["parameters"],
            inputs=content["inputs"],
            grid=BlockGrid(
                Box(start=grid["region"][0], end=grid["region"][1]), tuple(grid["shape"]), tuple(grid["halo"])
            ),
            workspace=Path(folder).parent.parent,
        )
        if plan.fingerprint != content["fingerprint"]:
            raise StageError(f"{path} was changed by hand: its content no longer has the fingerprint that it states")
        return plan

    def _grid_as_json(self) -> dict[str, Any]:
        return {
            "region": [list(self.grid.region.origin), list(self.grid.region.stop)],
            "shape": list(self.grid.shape),
            "halo": list(self.grid.halo),
        }


def lease_of(folder: Path) -> Path:
    """The lease of the stage in ``folder``."""
    return folder.with_name(f"{folder.name}.lease")


#: What a block that is computed has still to do; returns its facts.
Later = Callable[[], Mapping[str, Any]]


class Stage(ABC):
    """A plan that can run. Subclasses open their inputs lazily and keep no state between blocks that changes a byte."""

    name: ClassVar[str]
    version: ClassVar[int]
    #: Voxels a second on one core, measured: for batches and forecasts until this workspace has figures of its own.
    voxels_per_second: ClassVar[float] = 1e6
    #: Whether blocks depend so little on what is in them that this figure alone may cut a short stage into few batches.
    is_even: ClassVar[bool] = False
    #: What a block reads (per voxel of its read box), leaves on disk (per voxel of its core) and needs of memory while it
    #: runs (per voxel of its read box), in bytes, as measured on affinities of real tissue; for forecasts.
    bytes_read: ClassVar[float] = 0.0
    bytes_written: ClassVar[float] = 0.0
    memory: ClassVar[float] = 0.0
    #: Processor cores that a block may use where there are fewer blocks than cores; changes no byte.
    threads: int = 1

    @classmethod
    def memory_a_voxel(cls, plan: StagePlan) -> float:
        """:attr:`memory`, where that depends on the plan."""
        return cls.memory

    def __init__(self, plan: StagePlan) -> None:
        if plan.stage != self.name:
            raise StageError(f"{plan.folder} is a {plan.stage} stage, not {self.name}")
        if plan.version != self.version:
            raise StageError(
                f"{plan.folder} was planned with version {plan.version} of {self.name}; this axonloom has {self.version}: "
                "run the job again, it will make a new one"
            )
        self.plan = plan
        self.running = plan.running

    def prepare(self) -> None:
        """Make what blocks write into (volumes, folders). Called once before the first block, any number of times in all."""

    def ahead(self, block: Block) -> None:
        """Read what :meth:`process` will need for this block, the next one, while another is processed; may not be asked for at all.

        It raises nothing: what goes wrong is for :meth:`process` to say.
        """

    @abstractmethod
    def process(self, block: Block) -> Mapping[str, Any] | Later:
        """Compute one block and make its output durable; the facts returned (plain JSON) go into its ledger line.

        A stage that computes long may return a function instead, which does the writing and returns the facts: it is called in another
        thread while the next block is processed.

        Running a block twice, or half and then whole, leaves the same bytes.
        """

    def files(self, block: Block) -> list[Path]:
        """The files that a block leaves, each its own; their checksum goes into the ledger line."""
        return []

    def stored(self, block: Block) -> tuple[Volume, Box] | None:
        """The part of a volume that a block leaves, for those that write voxels.

        Such a stage puts :func:`axonloom.checksums.voxels_checksum` of it into its facts as ``voxels_crc32``.
        """
        return None

    def reads(self, name: str, source: StagePlan, blocks: Sequence[int]) -> list[int]:
        """Blocks of this stage that read any of ``blocks`` of its input ``name``, ascending.

        By default those whose read box touches one of them; all, where one is the whole volume.
        """
        if len(source.grid) == 1 or len(self.plan.grid) == 1:
            return list(range(len(self.plan.grid)))
        found: set[int] = set()
        for index in blocks:
            found.update(self.plan.grid.blocks_touching(source.grid.block(index).core.grown(self.plan.grid.halo)))
        return sorted(found)

    def permit(self) -> None:
        """Raise when this stage may no longer write its output; asked before every block."""
