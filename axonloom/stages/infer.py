"""Images to affinities, block by block, with no trace of the blocks in the result."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.checksums import voxels_checksum
from axonloom.config.infer import InferSettings
from axonloom.geometry import Block, BlockGrid, Box, Zyx, chunk_for_blocks
from axonloom.inference.blockwise import predict_block
from axonloom.inference.lattice import WindowLattice
from axonloom.inference.predictor import Predictor, load_predictor, settings_that_matter
from axonloom.networks.checkpoint import Checkpoint
from axonloom.stage import Stage, StageError, StagePlan
from axonloom.stages.inputs import open_volume_input
from axonloom.stages.stage_volume import ensure_volume
from axonloom.volumes import Volume, open_volume


class InferStage(Stage):
    name = "infer"
    version = 1
    voxels_per_second = 1e5
    bytes_read, bytes_written, memory = 1.5, 3.0, 24.0

    @classmethod
    def planned(
        cls,
        image: Mapping[str, Any],
        shape: Zyx,
        checkpoint: Path,
        settings: InferSettings,
        block: Zyx,
        workspace: Path,
    ) -> StagePlan:
        """The plan for images of this shape (zyx) and the network in ``checkpoint``."""
        found = Checkpoint.open(checkpoint)
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters=settings_that_matter(settings, found),
            inputs={
                "image": image,
                "checkpoint": {"kind": "checkpoint", "path": str(found.folder), "identity": found.identity()},
            },
            grid=BlockGrid(Box.of_shape(shape), block),
            workspace=workspace,
        )

    @cached_property
    def image(self) -> Volume:
        return open_volume_input(self.plan.inputs["image"], self.plan.workspace)

    @cached_property
    def affinities(self) -> Volume:
        return open_volume(str(self.plan.folder / "affinities.zarr"))

    @cached_property
    def predictor(self) -> Predictor:
        given = self.plan.inputs["checkpoint"]
        checkpoint = Checkpoint.open(Path(given["path"]))
        if checkpoint.identity() != given["identity"]:
            raise StageError(
                f"{given['path']} is another network than when this inference was planned: run the job again"
            )
        return load_predictor(checkpoint, self.plan.parameters)

    @cached_property
    def lattice(self) -> WindowLattice:
        parameters = self.plan.parameters
        return WindowLattice(self.image.shape, tuple(parameters["window"]), tuple(parameters["stride"]))

    def prepare(self) -> None:
        grid = self.plan.grid
        ensure_volume(
            self.plan.folder / "affinities.zarr",
            shape=grid.region.shape,
            dtype=np.uint8,
            channels=self.predictor.channels,
            chunk=chunk_for_blocks(grid.shape, grid.region.shape),
            voxel_size=self.image.voxel_size,
            offset=self.image.offset,
            attributes={"axonloom_fingerprint": self.plan.fingerprint},
        )

    def process(self, block: Block) -> Mapping[str, Any]:
        found = predict_block(self.image, block.core, self.lattice, self.predictor, self.plan.parameters["blending"])
        self.affinities.write(block.core, found)
        self.affinities.sync(block.core)
        return {"voxels_crc32": voxels_checksum(found)}

    def stored(self, block: Block) -> tuple[Volume, Box]:
        return self.affinities, block.core
