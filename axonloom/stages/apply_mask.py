"""A volume without what lies outside a mask; of a precomputed layer every scale."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from axonloom.checksums import voxels_checksum
from axonloom.config.load import ConfigurationError
from axonloom.config.masking import ApplyMaskSettings
from axonloom.config.volumes import VolumeSettings
from axonloom.geometry import Block, BlockGrid, Box, Zyx, chunk_for_blocks
from axonloom.lazy import lazy
from axonloom.resampling.lattices import AxisOver, lattice_over, mask_over
from axonloom.stage import StageError, StagePlan
from axonloom.stages.inputs import open_configured, open_volume_input, volume_input
from axonloom.stages.made_volume import MadeVolumeStage, new_target
from axonloom.volumes import Volume, create_volume, open_volume
from axonloom.volumes.precomputed import PrecomputedVolume, create_layer_like
from axonloom.volumes.precomputed_info import SCHEME, precomputed_uri
from axonloom.volumes.record import FINGERPRINT
from axonloom.workspace import placed, portable


class ApplyMaskStage(MadeVolumeStage):
    name = "apply-mask"
    version = 1
    voxels_per_second = 2e7
    bytes_read, bytes_written, memory = 3.0, 2.0, 16.0

    @classmethod
    def planned(cls, settings: ApplyMaskSettings, block: Zyx, workspace: Path) -> tuple[StagePlan, ...]:
        """A plan for each scale of a layer that becomes a layer, else one. Blocks are in whole chunks of what is made.

        Raises
        ------
        ConfigurationError
            Source, mask or target are not set.
        VolumeError, StageError
            They cannot be opened, the mask does not cover the source, or the type has no such value as ``outside``.
        """
        if settings.source is None or settings.mask is None or settings.target is None:
            raise ConfigurationError(
                "apply_mask.source, apply_mask.mask and apply_mask.target are not all set: name them, as in `axonloom tools apply-mask "
                "SOURCE MASK TARGET`"
            )
        target = new_target("apply_mask", settings.target, workspace)
        source = open_volume(placed(settings.source, workspace), version=settings.version)
        mask = VolumeSettings(path=placed(settings.mask, workspace), voxel_size=settings.mask_voxel_size)
        lies_over = open_configured(mask)
        if lies_over.channels is not None:
            raise StageError(
                f"{lies_over.uri} has {lies_over.channels} channels: a mask is one value a voxel (z, y, x)"
            )
        limits = np.iinfo(source.dtype) if source.dtype.kind in "ui" else np.finfo(source.dtype)
        if not limits.min <= settings.outside <= limits.max:
            raise StageError(
                f"apply_mask.outside is {settings.outside}, and {source.uri} holds {source.dtype}: choose one that it holds"
            )
        scales: list[Volume] = [source]
        as_layer = isinstance(source, PrecomputedVolume) and target.startswith(SCHEME)
        if isinstance(source, PrecomputedVolume) and as_layer:
            uris = [precomputed_uri(source.location, mip) for mip in range(len(source.info["scales"]))]
            scales = [open_volume(uri, version=settings.version) for uri in uris]
        plans: list[StagePlan] = []
        for mip, scale in enumerate(scales):
            lattice_over(scale, lies_over)
            chunk = cast(Zyx, scale.chunk) if as_layer else chunk_for_blocks(block, scale.shape)
            cores = cast(Zyx, tuple(-(-b // n) * n for b, n in zip(block, chunk, strict=True)))
            given = VolumeSettings(path=scale.uri, version=settings.version)
            plans.append(
                StagePlan(
                    stage=cls.name,
                    version=cls.version,
                    parameters={
                        "target": portable(target, workspace),
                        "mip": mip if as_layer else None,
                        "outside": settings.outside,
                        # Scales of one layer are made together, and named with the last.
                        "first": plans[0].fingerprint if plans else None,
                        "last": mip == len(scales) - 1,
                    },
                    inputs={"volume": volume_input(given), "mask": volume_input(mask)},
                    grid=BlockGrid(Box.of_shape(scale.shape), cores),
                    workspace=workspace,
                )
            )
        return tuple(plans)

    @property
    def mark(self) -> str:
        return self.plan.parameters["first"] or self.plan.fingerprint

    @lazy
    def source(self) -> Volume:
        return open_volume_input(self.plan.inputs["volume"], self.plan.workspace)

    @lazy
    def mask(self) -> Volume:
        return open_volume_input(self.plan.inputs["mask"], self.plan.workspace)

    @lazy
    def axes(self) -> tuple[AxisOver, AxisOver, AxisOver]:
        return lattice_over(self.source, self.mask)

    @property
    def output(self) -> Volume:
        whole = super().output
        mip = self.plan.parameters["mip"]
        return (
            open_volume(precomputed_uri(whole.location, mip)) if isinstance(whole, PrecomputedVolume) and mip else whole
        )

    def create(self, uri: str) -> None:
        source, attributes = self.source, {FINGERPRINT: self.mark}
        if self.plan.parameters["mip"] is not None:
            create_layer_like(uri, cast(PrecomputedVolume, source), attributes)
            return
        create_volume(
            uri,
            shape=source.shape,
            dtype=source.dtype,
            channels=source.channels,
            chunk=chunk_for_blocks(self.plan.grid.shape, source.shape),
            voxel_size=source.voxel_size,
            offset=source.offset,
            attributes=attributes,
        )

    def finish(self) -> None:
        if self.plan.parameters["last"]:
            super().finish()

    def process(self, block: Block) -> Mapping[str, Any]:
        kept = mask_over(self.mask, self.axes, block.core)
        found = self.source.read(block.core)
        found[..., ~kept] = self.plan.parameters["outside"]
        output = self.output
        output.write(block.core, found)
        output.sync(block.core)
        return {"voxels_crc32": voxels_checksum(found)} if self._is_lossless else {}

    def stored(self, block: Block) -> tuple[Volume, Box] | None:
        return super().stored(block) if self._is_lossless else None

    @property
    def _is_lossless(self) -> bool:
        return self.plan.parameters["mip"] is None or self.source.describe()["encoding"] != "jpeg"
