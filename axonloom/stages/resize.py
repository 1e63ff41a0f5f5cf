"""A volume at another voxel size."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

from axonloom.checksums import voxels_checksum
from axonloom.config.load import ConfigurationError
from axonloom.config.resizing import ResizeSettings
from axonloom.config.volumes import VolumeSettings
from axonloom.geometry import Block, BlockGrid, Box, Zyx
from axonloom.lazy import lazy
from axonloom.resampling.axis import ResampledAxis
from axonloom.resampling.resize import TILE, resized_image, resized_labels, tiles_in
from axonloom.stage import StageError, StagePlan
from axonloom.stages.inputs import open_configured, open_volume_input, volume_input
from axonloom.stages.made_volume import MadeVolumeStage, new_target
from axonloom.volumes import Volume, create_volume
from axonloom.volumes.precomputed import PrecomputedVolume
from axonloom.volumes.record import FINGERPRINT
from axonloom.workspace import placed, portable


class ResizeStage(MadeVolumeStage):
    name = "resize"
    version = 1
    voxels_per_second = 3e6
    bytes_read, bytes_written, memory = 4.0, 2.0, 120.0

    @classmethod
    def planned(cls, settings: ResizeSettings, block: Zyx, workspace: Path) -> StagePlan:
        """Blocks are those of the configuration, in whole tiles of what is made.

        Raises
        ------
        ConfigurationError
            Source, target or the size to come to are not set.
        VolumeError, StageError
            The source cannot be opened, or its voxel size is needed and not known.
        """
        if settings.source is None or settings.target is None:
            raise ConfigurationError(
                "resize.source and resize.target are not set: name both, as in `axonloom tools resize SOURCE TARGET`"
            )
        if settings.voxel_size is None and settings.shape is None:
            raise ConfigurationError(
                "neither resize.voxel_size nor resize.shape is set: say which size to come to, as in --set resize.voxel_size=[40,16,16]"
            )
        target = new_target("resize", settings.target, workspace)
        given = VolumeSettings(
            path=placed(settings.source, workspace), voxel_size=settings.source_voxel_size, version=settings.version
        )
        source = open_configured(given)
        axes = _axes(settings, source)
        labels = settings.kind == "labels" or (settings.kind == "auto" and _holds_ids(source))
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={
                "target": portable(target, workspace),
                "shape": [axis.new_size for axis in axes],
                "step": [str(axis.step) for axis in axes],
                "voxel_size": list(settings.voxel_size) if settings.voxel_size is not None else None,
                # The nearest voxel is what labels are resized by.
                "order": 0 if labels else settings.order,
                "anti_aliasing": settings.anti_aliasing and not labels and settings.order > 0,
            },
            inputs={"volume": volume_input(given)},
            grid=BlockGrid(Box.of_shape([axis.new_size for axis in axes]), tiles_in(block)),
            workspace=workspace,
        )

    @lazy
    def source(self) -> Volume:
        return open_volume_input(self.plan.inputs["volume"], self.plan.workspace)

    @lazy
    def axes(self) -> tuple[ResampledAxis, ...]:
        parameters = self.plan.parameters
        sizes = zip(self.source.shape, parameters["shape"], parameters["step"], strict=True)
        return tuple(ResampledAxis(size, new, Fraction(step)) for size, new, step in sizes)

    def create(self, uri: str) -> None:
        source, steps = self.source, [axis.step for axis in self.axes]
        voxel_size = self.plan.parameters["voxel_size"]
        if voxel_size is None and source.voxel_size is not None:
            voxel_size = [
                float(Fraction(str(size)) * step) for size, step in zip(source.voxel_size, steps, strict=True)
            ]
        create_volume(
            uri,
            shape=self.plan.grid.region.shape,
            dtype=source.dtype,
            channels=source.channels,
            chunk=cast(Zyx, tuple(min(TILE, n) for n in self.plan.grid.region.shape)),
            voxel_size=voxel_size,
            offset=[round(offset / step) for offset, step in zip(source.offset, steps, strict=True)],
            attributes={FINGERPRINT: self.plan.fingerprint},
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        parameters = self.plan.parameters
        if parameters["order"] == 0:
            found = resized_labels(self.source.read, self.axes, block.core)
        else:
            found = resized_image(
                self.source.read, self.axes, block.core, parameters["order"], parameters["anti_aliasing"]
            )
        self.output.write(block.core, found)
        self.output.sync(block.core)
        return {"voxels_crc32": voxels_checksum(found)}


def _axes(settings: ResizeSettings, source: Volume) -> list[ResampledAxis]:
    if settings.shape is not None:
        return [ResampledAxis.to_size(n, new) for n, new in zip(source.shape, settings.shape, strict=True)]
    assert settings.voxel_size is not None
    if source.voxel_size is None:
        raise StageError(
            f"{source.uri} does not say its voxel size: set resize.source_voxel_size, or resize.shape instead of resize.voxel_size"
        )
    sizes = zip(source.shape, source.voxel_size, settings.voxel_size, strict=True)
    return [ResampledAxis.to_voxel_size(n, before, after) for n, before, after in sizes]


def _holds_ids(source: Volume) -> bool:
    if isinstance(source, PrecomputedVolume):
        return source.info.get("type") == "segmentation"
    return source.dtype.kind in "ui" and source.dtype.itemsize >= 4
