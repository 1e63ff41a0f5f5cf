"""What the stages of tools share: their target was named by the user, so it may be somebody else's, or gone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from axonloom.durable import remove_unfinished
from axonloom.geometry import Block, Box
from axonloom.lazy import lazy
from axonloom.stage import Stage, StagePlan
from axonloom.stages.registry import stage_class
from axonloom.volumes import Volume
from axonloom.volumes.block_files import BlockFiles


class ToolStage(Stage):
    """A stage that writes where the user said."""

    @property
    @abstractmethod
    def lease(self) -> Path | None:
        """Who writes the target holds this; None where it lies on another machine."""

    @abstractmethod
    def require_own_target(self) -> None:
        """Raise a sentence where something lies that this stage did not make and would write over."""

    @abstractmethod
    def target_is_gone(self) -> bool:
        """Whether there is nothing (any more) of what this stage writes."""

    def lost_blocks(self) -> list[int]:
        """Blocks of which nothing is there (any more), while there is something of others."""
        return []

    def warning(self) -> str | None:
        """A sentence on what a user should know before this stage runs, such as what it will write over; None: nothing."""
        return None

    def finish(self) -> None:
        """Make of what the blocks left what the user named, once all are done. Any number of times."""


class WorkspaceStage(ToolStage):
    """A stage of a tool that writes in the workspace, for the stages after it."""

    @property
    def lease(self) -> None:
        return None

    def require_own_target(self) -> None:
        pass

    def target_is_gone(self) -> bool:
        return False


class FolderStage(ToolStage):
    """A stage that fills a folder with files, one a block."""

    @lazy
    @abstractmethod
    def target(self) -> BlockFiles:
        """What the folder is to hold."""

    @property
    def lease(self) -> Path:
        folder = self.target.folder
        return folder.with_name(f"{folder.name}.lease")

    def require_own_target(self) -> None:
        self.target.require_ours()

    def target_is_gone(self) -> bool:
        folder = self.target.folder
        return not folder.is_dir() or not any(folder.iterdir())

    def lost_blocks(self) -> list[int]:
        target = self.target
        return [number for number, file in enumerate(target.files) if not (target.folder / file.name).exists()]

    def prepare(self) -> None:
        self.require_own_target()
        remove_unfinished(self.target.folder)
        self.target.write_index()

    def stored(self, block: Block) -> tuple[Volume, Box]:
        volume = self.target.volume(self.target.files[block.index])
        return volume, volume.box


def is_tool(plan: StagePlan) -> bool:
    return issubclass(stage_class(plan.stage), ToolStage)


def tool_stage(plan: StagePlan) -> ToolStage:
    """The stage of a tool's plan, ready to be asked about its target."""
    stage = stage_class(plan.stage)(plan)
    assert isinstance(stage, ToolStage)
    return stage


def require_own_targets(plans: Sequence[StagePlan]) -> None:
    """Ask every stage of a tool; see :meth:`ToolStage.require_own_target`."""
    for plan in plans:
        tool_stage(plan).require_own_target()


def forget_what_is_gone(plans: Sequence[StagePlan]) -> None:
    """Void what ledgers say of targets, or of parts of them, that were deleted since."""
    for plan in plans:
        stage = tool_stage(plan)
        if stage.target_is_gone():
            plan.ledger.void()
        elif lost := set(stage.lost_blocks()) & set(plan.ledger.read().done):
            plan.ledger.undo(dict.fromkeys(lost, "its file is not there any more"))
