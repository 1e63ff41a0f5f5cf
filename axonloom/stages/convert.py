"""A volume, or a part of it, in another format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from axonloom.checksums import voxels_checksum
from axonloom.config.converting import ConvertSettings, ToPrecomputedSettings
from axonloom.config.load import ConfigurationError
from axonloom.config.volumes import VolumeSettings
from axonloom.geometry import Block, BlockGrid, Box, Zyx, chunk_for_blocks
from axonloom.lazy import lazy
from axonloom.stage import StageError, StagePlan
from axonloom.stages.inputs import open_configured, open_volume_input, stage_input, volume_input
from axonloom.stages.made_volume import MadeVolumeStage, new_target
from axonloom.volumes import Volume, create_volume
from axonloom.volumes.new_volume import LayerLayout
from axonloom.volumes.precomputed_info import SCHEME, shard_shape
from axonloom.volumes.record import FINGERPRINT
from axonloom.workspace import placed, portable


class ConvertStage(MadeVolumeStage):
    name = "convert"
    version = 1
    voxels_per_second = 3e7
    bytes_read, bytes_written, memory = 2.0, 2.0, 16.0

    @classmethod
    def planned(cls, settings: ConvertSettings, block: Zyx, workspace: Path) -> StagePlan:
        """Blocks are those of the configuration, in whole chunks (or shards) of what is made.

        Raises
        ------
        ConfigurationError
            Source or target are not set.
        VolumeError, StageError
            The source cannot be opened, the target is not one that can be made.
        """
        layered = isinstance(settings, ToPrecomputedSettings)
        tool = "to_precomputed" if layered else "convert"
        if settings.source is None or settings.target is None:
            raise ConfigurationError(
                f"{tool}.source and {tool}.target are not set: name both, as in `axonloom tools {tool.replace('_', '-')} SOURCE TARGET`"
            )
        named = settings.target
        if layered and "://" not in named:
            named = f"{SCHEME}{named}"
        if layered and not named.startswith(SCHEME):
            raise StageError(
                f"{tool}.target is {named}: a precomputed layer is made in a folder, as precomputed://FOLDER"
            )
        target = new_target(tool, named, workspace)
        given = VolumeSettings(
            path=placed(settings.source, workspace),
            voxel_size=settings.voxel_size,
            region=settings.region,
            version=settings.version,
        )
        source = open_configured(given)
        dtype, layout = settings.dtype or str(source.dtype), None
        if isinstance(settings, ToPrecomputedSettings):
            dtype, layout = _layer(settings, dtype)
        chunk = settings.chunk or chunk_for_blocks(block, source.shape)
        unit = shard_shape(source.shape, chunk) if layout is not None and layout["sharded"] else chunk
        cores = cast(Zyx, tuple(-(-b // n) * n for b, n in zip(block, unit, strict=True)))
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={
                "target": portable(target, workspace),
                "dtype": dtype,
                "chunk": list(chunk),
                "offset": list(settings.offset or source.offset),
                "layout": layout,
            },
            inputs={"volume": volume_input(given)},
            grid=BlockGrid(Box.of_shape(source.shape), cores),
            workspace=workspace,
        )

    @classmethod
    def of_stage(cls, made: StagePlan, tool: str, target: str, dtype: str, offset: Zyx) -> StagePlan:
        """The plan that gives what a stage left in the workspace (a volume of this type) the name that the user gave."""
        region, block = made.grid.region, made.grid.shape
        chunk = chunk_for_blocks(block, region.shape)
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={
                "target": portable(new_target(tool, target, made.workspace), made.workspace),
                "dtype": dtype,
                "chunk": list(chunk),
                "offset": list(offset),
                "layout": None,
            },
            inputs={"volume": stage_input(made)},
            grid=BlockGrid(region, block),
            workspace=made.workspace,
        )

    @lazy
    def source(self) -> Volume:
        return open_volume_input(self.plan.inputs["volume"], self.plan.workspace)

    def create(self, uri: str) -> None:
        parameters, source = self.plan.parameters, self.source
        layout = parameters["layout"]
        create_volume(
            uri,
            shape=source.shape,
            dtype=parameters["dtype"],
            channels=source.channels,
            chunk=parameters["chunk"],
            voxel_size=source.voxel_size,
            offset=parameters["offset"],
            attributes={FINGERPRINT: self.plan.fingerprint},
            layout=LayerLayout(**layout) if layout is not None else None,
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        found = exactly(self.source.read(block.core), np.dtype(self.plan.parameters["dtype"]), self.source.uri)
        self.output.write(block.core, found)
        self.output.sync(block.core)
        return {"voxels_crc32": voxels_checksum(found)} if self._is_lossless else {}

    def stored(self, block: Block) -> tuple[Volume, Box] | None:
        return super().stored(block) if self._is_lossless else None

    @property
    def _is_lossless(self) -> bool:
        layout = self.plan.parameters["layout"]
        return layout is None or layout["encoding"] != "jpeg"


def exactly(values: np.ndarray, dtype: np.dtype[Any], source: str) -> np.ndarray:
    """The same values in another type; floats may lose digits to a smaller float.

    Raises
    ------
    StageError
        A value is not in the type.
    """
    if values.dtype == dtype:
        return values
    with np.errstate(all="ignore"):
        found = values.astype(dtype)
        if dtype.kind == "f" and values.dtype.kind == "f":
            lost = np.isinf(found) & ~np.isinf(values)
        else:
            # Both ways: uint64 beyond int64 and fractions come back as something else.
            lost = (found.astype(values.dtype) != values) | ((found < 0) != (values < 0))
    if lost.any():
        raise StageError(f"{source} holds {values[lost][0]}, which is no {dtype}: choose a type that holds it")
    return found


def _layer(settings: ToPrecomputedSettings, dtype: str) -> tuple[str, dict[str, Any]]:
    """Type and layout of a layer, all that is "auto" decided."""
    labels = settings.type == "segmentation" or (settings.type == "auto" and dtype in ("uint32", "uint64"))
    if labels and dtype.startswith("float"):
        raise StageError(
            f"to_precomputed.type is segmentation, and the source is {dtype}: ids are whole numbers; set to_precomputed.dtype"
        )
    encoding = settings.encoding
    if encoding == "auto":
        encoding = "compressed_segmentation" if labels else "raw"
        if labels and settings.dtype is None and dtype not in ("uint32", "uint64"):
            dtype = "uint64" if dtype == "int64" else "uint32"
    return dtype, {
        "kind": "segmentation" if labels else "image",
        "encoding": encoding,
        "quality": settings.quality,
        "sharded": settings.sharded,
    }
