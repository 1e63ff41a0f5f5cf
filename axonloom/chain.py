"""From a configuration to the plans of all stages: what would be made, and where it lies.

Plans need no results: each is known from the fingerprints of the ones before, so ``status`` can speak of a chain of which
nothing has run, and a flow can start in its middle.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from axonloom.assembly.pyramid import pyramid_factor
from axonloom.assembly.segmentation_layer import SegmentationLayer
from axonloom.config.configuration import Configuration
from axonloom.config.load import ConfigurationError
from axonloom.geometry import Zyx
from axonloom.lazy import lazy
from axonloom.models.named import checkpoint_folder
from axonloom.stage import StageError, StagePlan
from axonloom.stages.agglomerate import AgglomerateStage
from axonloom.stages.apply import ApplyStage
from axonloom.stages.contingency import ContingencyStage
from axonloom.stages.fragment import FragmentStage
from axonloom.stages.graph import GraphStage
from axonloom.stages.inputs import long_range_input, open_configured, open_image, stage_input, volume_input
from axonloom.stages.join import JoinStage
from axonloom.stages.multicut import MulticutStage
from axonloom.stages.mutex import MutexStage
from axonloom.stages.overlap import OverlapStage
from axonloom.stages.pool import PoolStage
from axonloom.stages.pyramid import PyramidStage
from axonloom.stages.registry import STAGES
from axonloom.stages.segments import SegmentsStage
from axonloom.stages.stitch import StitchStage
from axonloom.stages.waterz import WaterzStage
from axonloom.tools import TOOLS, is_configured
from axonloom.volumes import VolumeError
from axonloom.workspace import placed


@dataclass(frozen=True)
class Chain:
    """The stages of a configuration, each planned when it is first asked for.

    Raises
    ------
    ConfigurationError
        Something that a stage needs is not configured.
    VolumeError, StageError, BlockAlignmentError
        A volume cannot be opened, or does not fit the others.
    """

    configuration: Configuration

    @property
    def workspace(self) -> Path:
        return self.configuration.workspace

    @property
    def layer(self) -> str:
        """The URI of the segmentation."""
        return placed(self.configuration.volumes.segmentation.path, self.workspace)

    @property
    def checkpoint(self) -> Path:
        """The network that infers: as configured, else the best that training left in the workspace."""
        given = self.configuration.infer.checkpoint
        return checkpoint_folder(given) if given is not None else self.workspace / "checkpoints" / "best"

    @property
    def infers(self) -> bool:
        """Whether the affinities are predicted here rather than given."""
        return self.configuration.volumes.affinities is None

    @lazy
    def infer(self) -> StagePlan:
        # Only here: planning a segmentation of given affinities should not wait for torch.
        from axonloom.inference.predictor import require_image_fits
        from axonloom.stages.infer import InferStage

        settings = self.configuration.volumes.image
        if settings is None:
            raise ConfigurationError("volumes.image is not set: inference needs images (or set volumes.affinities)")
        if self.configuration.infer.checkpoint is None and not self.checkpoint.exists():
            raise ConfigurationError(
                f"there is no network yet ({self.checkpoint}): run `axonloom train` first, or set infer.checkpoint"
            )
        image, tissue = open_image(settings), self.configuration.volumes.tissue
        require_image_fits(self._network(), image, self.configuration.infer)
        return InferStage.planned(
            volume_input(settings),
            image.shape,
            volume_input(tissue) if tissue is not None else None,
            self.checkpoint,
            self.configuration.infer,
            self.configuration.blocks.shape,
            self.workspace,
        )

    def voxel_size_warning(self) -> str | None:
        """A sentence where the images' voxels are far from those that the network was trained on."""
        from axonloom.inference.predictor import voxel_size_warning

        settings = self.configuration.volumes.image
        if settings is None:
            return None
        image = open_image(settings)
        return voxel_size_warning(self._network(), image.voxel_size, image.uri)

    def _network(self) -> Any:
        from axonloom.networks.foreign import open_checkpoint

        return open_checkpoint(self.checkpoint, self.configuration.infer.model)

    @property
    def merging(self) -> Literal["agglomerate", "multicut", "overlap"]:
        """``merge.method``, or what suits ``segment.method`` where it is not set."""
        suits = "agglomerate" if self.configuration.segment.method == "watershed" else "overlap"
        return self.configuration.merge.method or suits

    @property
    def stitches(self) -> bool:
        """Whether blocks are segmented alone and joined by what they share, rather than over one region graph."""
        return self.merging == "overlap"

    @property
    def segmenting(self) -> tuple[StagePlan, ...]:
        """From affinities to labels of each block, and what merging needs of them; in order."""
        return self.fragment, self.overlap if self.stitches else self.join

    @property
    def pooling(self) -> tuple[StagePlan, ...]:
        """From there to the lookup table; in order."""
        return *self.merged, self.pool

    @lazy
    def fragment(self) -> StagePlan:
        """What each block writes its labels in: the stage of ``segment.method``."""
        volumes, method = self.configuration.volumes, self.configuration.segment.method
        given = (
            self._affinities,
            self._shape,
            volume_input(volumes.mask) if volumes.mask is not None else None,
            self.configuration.segment,
            self.configuration.blocks.shape,
            self.workspace,
        )
        if method == "watershed":
            return FragmentStage.planned(*given, histograms=self.configuration.merge.score != "mean")
        stage = {"waterz": WaterzStage, "mutex": MutexStage}[method]
        return stage.planned(*given)

    @lazy
    def overlap(self) -> StagePlan:
        return OverlapStage.planned(self.fragment)

    @lazy
    def join(self) -> StagePlan:
        return JoinStage.planned(self.fragment)

    @lazy
    def graph(self) -> StagePlan:
        return GraphStage.planned(self.fragment, self.join)

    @lazy
    def agglomerate(self) -> tuple[StagePlan, ...]:
        """The levels of the agglomeration, finest first."""
        return AgglomerateStage.planned(self.fragment, self.join, self.configuration.merge)

    @lazy
    def multicut(self) -> StagePlan:
        return MulticutStage.planned(self.graph, self.configuration.merge.multicut)

    @property
    def merged(self) -> tuple[StagePlan, ...]:
        """What decides which fragments are one: the stages of ``merge.method`` before the pool, in order."""
        if self.stitches:
            return ()
        return (self.graph, self.multicut) if self.merging == "multicut" else self.agglomerate

    @lazy
    def pool(self) -> StagePlan:
        if self.stitches:
            return StitchStage.planned(self.fragment, self.overlap, self.configuration.merge.overlap)
        return PoolStage.planned(self.fragment, self.join, self.merged[-1], self.configuration.merge)

    @lazy
    def apply(self) -> StagePlan:
        folder = SegmentationLayer.at(self.layer).folder
        if any(folder.is_relative_to(self.workspace.absolute() / name) for name in STAGES):
            raise StageError(
                f"volumes.segmentation.path is {self.layer}: there the workspace keeps what a stage makes; name another folder"
            )
        return ApplyStage.planned(self.fragment, self.pool, self.layer, self.configuration.volumes.segmentation)

    @lazy
    def pyramid(self) -> tuple[StagePlan, ...]:
        """The coarser scales, finest first; fewer than configured where a scale would be a single voxel."""
        plans: list[StagePlan] = []
        voxel_size = self._voxel_size
        below = self.apply
        for mip in range(1, self.configuration.volumes.segmentation.mips + 1):
            if max(below.grid.region.shape) == 1:
                break
            factor = pyramid_factor(voxel_size)
            below = PyramidStage.planned(below, mip, factor)
            if voxel_size is not None:
                z, y, x = (size * f for size, f in zip(voxel_size, factor, strict=True))
                voxel_size = z, y, x
            plans.append(below)
        return tuple(plans)

    @lazy
    def segments(self) -> StagePlan:
        return SegmentsStage.planned(self.apply)

    @property
    def writing(self) -> tuple[StagePlan, ...]:
        """From the lookup table to the user's layer; in order."""
        return self.apply, *self.pyramid, self.segments

    @lazy
    def contingency(self) -> StagePlan:
        labels = self.configuration.volumes.labels
        if labels is None:
            raise ConfigurationError("volumes.labels is not set: evaluation needs ground truth")
        return ContingencyStage.planned(self.fragment, volume_input(labels))

    def stages(self) -> Iterator[StagePlan]:
        """All plans in the order in which they run."""
        if self.infers:
            yield self.infer
        yield from (*self.segmenting, *self.pooling, *self.writing)
        if self.configuration.volumes.labels is not None:
            yield self.contingency

    @lazy
    def tools(self) -> tuple[StagePlan, ...]:
        """The stages of tools that are configured, and whose source is there; they belong to no segmentation."""
        found: list[StagePlan] = []
        for tool, planned in TOOLS.items():
            if is_configured(tool, self.configuration):
                # A source that is not there may be what another stage will write.
                with suppress(VolumeError):
                    found += planned(self.configuration)
        return tuple(found)

    def all_stages(self) -> Iterator[StagePlan]:
        """Those of the segmentation, where one is configured, and those of tools."""
        volumes = self.configuration.volumes
        if volumes.image is not None or volumes.affinities is not None or not self.tools:
            yield from self.stages()
        yield from self.tools

    @lazy
    def _affinities(self) -> dict[str, Any]:
        given = self.configuration.volumes.affinities
        if given is None:
            infer, channels = self.infer, self._network().description.channels
            if channels != ("z", "y", "x"):
                raise StageError(
                    f"the network of {self.checkpoint} predicts {', '.join(channels)}, and segmentation reads affinities of "
                    "nearest neighbours, z, y and x: run `axonloom infer`, and give what it made as volumes.affinities, with its "
                    "offsets"
                )
            return stage_input(infer)
        return long_range_input(given) if self.configuration.segment.method == "mutex" else volume_input(given)

    @lazy
    def _shape(self) -> Zyx:
        given = self.configuration.volumes.affinities
        return open_configured(given).shape if given is not None else self.infer.grid.region.shape

    @lazy
    def _voxel_size(self) -> tuple[float, float, float] | None:
        volumes = self.configuration.volumes
        settings = volumes.affinities or volumes.image
        return open_configured(settings).voxel_size if settings is not None else None
