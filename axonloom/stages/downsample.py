"""One coarser scale of a layer that a user has, image or segmentation, from the scale below it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from axonloom.assembly.pyramid import coarser_box, downsample, downsampled_shape, finer_box, pyramid_factor
from axonloom.checksums import voxels_checksum
from axonloom.config.downsample import DownsampleSettings
from axonloom.config.load import ConfigurationError
from axonloom.config.volumes import VolumeSettings
from axonloom.geometry import Block, BlockGrid, Box, Zyx
from axonloom.lazy import lazy
from axonloom.measured import stage_folders
from axonloom.stage import PLAN, StageError, StagePlan
from axonloom.stages.inputs import open_volume_input, stage_folder, stage_input, volume_input
from axonloom.stages.tool_stage import ToolStage
from axonloom.volumes import Volume, open_volume
from axonloom.volumes.precomputed import PrecomputedVolume, add_mip, scale_above
from axonloom.volumes.precomputed_info import parse_precomputed, precomputed_uri, zyx
from axonloom.volumes.tensorstore_io import is_remote
from axonloom.workspace import placed, portable

#: In the folder of a stage that has made its scale, or was about to.
BEGUN = "begun"


class DownsampleStage(ToolStage):
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
                        "resolution": list(voxel_size),
                        "method": method,
                    },
                    inputs={"below": given},
                    grid=BlockGrid(Box.of_shape(shape), cores),
                    workspace=workspace,
                )
            )
            given = stage_input(plans[-1])
        return tuple(plans)

    @lazy
    def below(self) -> Volume:
        given = self.plan.inputs["below"]
        if given["kind"] == "stage":
            return DownsampleStage(self._planned_below()).output
        return open_volume_input(given, self.plan.workspace)

    @lazy
    def output(self) -> Volume:
        found = self.present()
        if found is None:
            raise StageError(f"{self.below.uri} has lost the scale above it: run the job again, it will be made anew")
        return found

    def present(self) -> PrecomputedVolume | None:
        """The scale that this stage makes, where it is there; not where the one below is not."""
        given = self.plan.inputs["below"]
        if given["kind"] != "stage":
            below: PrecomputedVolume | None = cast(PrecomputedVolume, self.below)
        elif (stage_folder(given, self.plan.workspace) / PLAN).exists():
            below = DownsampleStage(self._planned_below()).present()
        else:
            below = None
        return scale_above(below, self.plan.parameters["factor"]) if below is not None else None

    def _planned_below(self) -> StagePlan:
        return StagePlan.load(stage_folder(self.plan.inputs["below"], self.plan.workspace))

    @property
    def lease(self) -> Path | None:
        location = parse_precomputed(placed(self.plan.parameters["scales_of"], self.plan.workspace))[0]
        return None if is_remote(location) else Path(location).with_name(f"{Path(location).name}.lease")

    def target_is_gone(self) -> bool:
        return self.present() is None

    def require_own_target(self) -> None:
        present = self.present()
        if present is not None and not any(_target(plan) == _target(self.plan) for plan in self._known()):
            raise StageError(
                f"{present.uri} is there already and was not made from this workspace: name the coarsest scale there is, and "
                "coarser ones are added to it"
            )

    def _known(self) -> Iterator[StagePlan]:
        folders = stage_folders(self.plan.workspace)
        return (StagePlan.load(folder) for folder in folders if (folder / BEGUN).exists())

    def _in_its_place(self) -> Iterator[StagePlan]:
        """Stages that made the same scale otherwise."""
        return (
            other
            for other in self._known()
            if other.fingerprint != self.plan.fingerprint and _target(other) == _target(self.plan)
        )

    def warning(self) -> str | None:
        made = next((other for other in self._in_its_place() if other.ledger.read().done), None)
        present = self.present()
        if made is None or present is None:
            return None
        return (
            f"{present.uri} is there, made with method {made.parameters['method']} and factor {made.parameters['factor']}: it is "
            f"written over with method {self.plan.parameters['method']}"
        )

    def prepare(self) -> None:
        # First: what is there without this was made by others.
        (self.plan.folder / BEGUN).touch()
        # What is made in other ways goes into the same scale, and is not there any more.
        for other in self._in_its_place():
            other.ledger.void()
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


def _target(plan: StagePlan) -> tuple[str, tuple[float, ...]]:
    """Which scale a plan makes: of which layer, and how coarse."""
    layer = parse_precomputed(placed(plan.parameters["scales_of"], plan.workspace))[0]
    return layer, tuple(plan.parameters["resolution"])
