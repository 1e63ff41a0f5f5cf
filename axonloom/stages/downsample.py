"""One coarser scale of a layer that a user has, image or segmentation, from the scale below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from axonloom.assembly.pyramid import coarser_box, downsample, downsampled_shape, finer_box, pyramid_factor
from axonloom.checksums import voxels_checksum
from axonloom.config.downsample import DownsampleSettings
from axonloom.config.load import ConfigurationError
from axonloom.config.volumes import VolumeSettings
from axonloom.geometry import Block, BlockGrid, Box, Zyx
from axonloom.measured import stage_folders
from axonloom.stage import Stage, StageError, StagePlan
from axonloom.stages.inputs import open_volume_input, stage_folder, stage_input, volume_input
from axonloom.volumes import Volume, open_volume
from axonloom.volumes.precomputed import PrecomputedVolume, add_mip, scale_above
from axonloom.volumes.precomputed_info import precomputed_uri, zyx
from axonloom.volumes.tensorstore_io import is_remote
from axonloom.workspace import placed, portable


class DownsampleStage(Stage):
    name = "downsample"
    version = 1
    voxels_per_second = 3e6
    bytes_read, bytes_written, memory = 32.0, 0.5, 60.0

    @classmethod
    def planned(cls, settings: DownsampleSettings, block: Zyx, workspace: Path) -> tuple[StagePlan, ...]:
        """The plans of all scales, finest first; fewer than asked for where a scale would be a single voxel.

        Blocks are those of the configuration, in whole chunks of the layer.

        Raises
        ------
        ConfigurationError
            No layer is named.
        VolumeError, StageError
            It cannot be opened, or cannot take scales.
        """
        if settings.layer is None:
            raise ConfigurationError(
                "downsample.layer is not set: name a precomputed layer, as in `axonloom tools downsample precomputed://FOLDER`"
            )
        named = VolumeSettings(path=placed(settings.layer, workspace), version=settings.version)
        base = open_volume(named.path, version=named.version)
        if not isinstance(base, PrecomputedVolume) or not base.writable_by_blocks:
            raise StageError(
                f"downsample.layer is {settings.layer} ({base.format}): scales are added to precomputed layers that can be "
                "written"
            )
        chunk = zyx(base.scale["chunk_sizes"][0])
        cores = cast(Zyx, tuple(-(-b // c) * c for b, c in zip(block, chunk, strict=True)))
        method = settings.method
        if method == "auto":
            method = "mode" if base.info.get("type") == "segmentation" else "mean"
        given, shape, voxel_size = volume_input(named), cast(Zyx, tuple(base.shape)), _resolution(base)
        plans: list[StagePlan] = []
        for mip in range(1, settings.mips + 1):
            if max(shape) == 1:
                break
            factor = settings.factor or pyramid_factor(voxel_size)
            shape = downsampled_shape(shape, factor)
            z, y, x = (size * f for size, f in zip(voxel_size, factor, strict=True))
            voxel_size = z, y, x
            plans.append(
                StagePlan(
                    stage=cls.name,
                    version=cls.version,
                    parameters={
                        # Two layers of one content are two all the same, each with scales of its own.
                        "scales_of": portable(precomputed_uri(base.location, base.mip), workspace),
                        "mip": base.mip + mip,
                        "factor": list(factor),
                        "method": method,
                    },
                    inputs={"below": given},
                    grid=BlockGrid(Box.of_shape(shape), cores),
                    workspace=workspace,
                )
            )
            given = stage_input(plans[-1])
        return tuple(plans)

    @cached_property
    def below(self) -> Volume:
        given = self.plan.inputs["below"]
        if given["kind"] == "stage":
            return DownsampleStage(StagePlan.load(stage_folder(given, self.plan.workspace))).output
        return open_volume_input(given, self.plan.workspace)

    @cached_property
    def output(self) -> Volume:
        found = scale_above(self.below, self.plan.parameters["factor"])
        if found is None:
            raise StageError(f"{self.below.uri} has lost the scale above it: run the job again, it will be made anew")
        return found

    def prepare(self) -> None:
        add_mip(self.below, self.plan.parameters["factor"])

    def process(self, block: Block) -> Mapping[str, Any]:
        parameters = self.plan.parameters
        fine = finer_box(block.core, parameters["factor"], self.below.box)
        found = downsample(self.below.read(fine), parameters["factor"], parameters["method"])
        self.output.write(block.core, found)
        self.output.sync(block.core)
        return {"voxels_crc32": voxels_checksum(found)} if self._is_lossless else {}

    def stored(self, block: Block) -> tuple[Volume, Box] | None:
        return (self.output, block.core) if self._is_lossless else None

    @property
    def _is_lossless(self) -> bool:
        return self.output.describe()["encoding"] != "jpeg"

    def reads(self, name: str, source: StagePlan, blocks: Sequence[int]) -> list[int]:
        """A block reads the finer scale under its core."""
        found: set[int] = set()
        for index in blocks:
            coarse = coarser_box(source.grid.block(index).core, self.plan.parameters["factor"])
            found.update(self.plan.grid.blocks_touching(coarse))
        return sorted(found)


def _resolution(volume: PrecomputedVolume) -> tuple[float, float, float]:
    """What the layer states, which it must, also where the voxel size is not known."""
    z, y, x = volume.scale["resolution"][::-1]
    return z, y, x


def require_own_scales(plans: Sequence[StagePlan]) -> None:
    """Raise StageError where a scale is there already that this workspace did not make: it would be overwritten."""
    if not plans:
        return
    known = {
        (plan.parameters["scales_of"], plan.parameters["mip"])
        for plan in map(StagePlan.load, stage_folders(plans[0].workspace))
        if plan.stage == DownsampleStage.name
    }
    for plan, present in _present(plans):
        if present is not None and (plan.parameters["scales_of"], plan.parameters["mip"]) not in known:
            raise StageError(
                f"{present.uri} is there already and was not made from this workspace: name the coarsest scale there is, and "
                "coarser ones are added to it"
            )


def forget_lost_scales(plans: Sequence[StagePlan]) -> None:
    """Void what the ledgers say of scales that were deleted since."""
    for plan, present in _present(plans):
        if present is None:
            plan.ledger.void()


def _present(plans: Sequence[StagePlan]) -> list[tuple[StagePlan, PrecomputedVolume | None]]:
    """Each plan with the scale that it makes, where that is there."""
    below = open_volume_input(plans[0].inputs["below"], plans[0].workspace) if plans else None
    found: list[tuple[StagePlan, PrecomputedVolume | None]] = []
    for plan in plans:
        present = scale_above(below, plan.parameters["factor"]) if below is not None else None
        found.append((plan, present))
        below = present
    return found


def scales_lease(plan: StagePlan) -> Path | None:
    """Who adds scales to the layer of ``plan`` holds this; None where it lies on another machine."""
    given = open_volume_input(plan.inputs["below"], plan.workspace)
    assert isinstance(given, PrecomputedVolume)
    if is_remote(given.location):
        return None
    folder = Path(given.location)
    return folder.with_name(f"{folder.name}.lease")
