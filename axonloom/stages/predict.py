"""A network over a folder of files, each for itself: what users of per-block scripts have."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.checksums import voxels_checksum
from axonloom.config.block_files import PredictSettings
from axonloom.config.infer import InferSettings
from axonloom.config.load import ConfigurationError
from axonloom.geometry import Block, BlockGrid, Box
from axonloom.inference.blockwise import predict_block, read_pixels
from axonloom.inference.lattice import WindowLattice
from axonloom.inference.predictor import Predictor, require_image_fits, settings_that_matter, voxel_size_warning
from axonloom.lazy import lazy
from axonloom.networks.foreign import open_checkpoint
from axonloom.stage import Later, StageError, StagePlan
from axonloom.stages.infer import (
    batches_at_once,
    blending_of,
    checkpoint_input,
    lattice_of,
    planned_checkpoint,
    planned_predictor,
    require_network_fits,
    with_batch,
)
from axonloom.stages.inputs import files_input
from axonloom.stages.tool_stage import FolderStage
from axonloom.volumes import Volume
from axonloom.volumes.block_files import BlockFile, BlockFiles, listed, write_block_file
from axonloom.workspace import placed, portable


class PredictStage(FolderStage):
    """A block is a file; the grid counts files."""

    name = "predict"
    version = 2
    voxels_per_second = 0.01
    bytes_read, bytes_written, memory = 0.0, 0.0, 0.0

    @classmethod
    def planned(cls, settings: PredictSettings, infer: InferSettings, checkpoint: Path, workspace: Path) -> StagePlan:
        """Raises ConfigurationError where source or target are not set, VolumeError for a source that lacks files of its index.

        Files that leave holes between them are fine: each is predicted by itself.
        """
        if settings.source is None or settings.target is None:
            raise ConfigurationError(
                "predict.source and predict.target are not set: name two folders, as in `axonloom tools predict BLOCKS FOLDER`"
            )
        found = BlockFiles.open(Path(placed(str(settings.source), workspace)), with_holes=True)
        network = open_checkpoint(checkpoint, infer.model)
        for file in found.files:
            image = found.volume(file)
            if image.channels is not None:
                raise StageError(
                    f"{image.uri} has {image.channels} channels: an image is one grey value a voxel (z, y, x)"
                )
            require_image_fits(network, image, infer)
        stems = [Path(file.name).stem for file in found.files]
        if len(set(stems)) < len(stems):
            raise StageError(
                f"two files in {found.folder} differ by their ending alone: each would get the same result"
            )
        parameters = settings_that_matter(infer, network)
        largest = Box.of_shape(max((file.box.shape for file in found.files), key=prod))
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters={
                **with_batch(parameters, infer, network, workspace, largest, lattice_of(largest.shape, parameters)),
                "target": portable(str(settings.target), workspace),
            },
            inputs={"files": files_input(found), "checkpoint": checkpoint_input(network)},
            grid=BlockGrid(Box.of_shape((len(found.files), 1, 1)), (1, 1, 1)),
            workspace=workspace,
        )

    def __init__(self, plan: StagePlan) -> None:
        super().__init__(plan)
        #: What :meth:`ahead` has read, by file.
        self.read_ahead: dict[int, tuple[Volume, WindowLattice, np.ndarray]] = {}

    @lazy
    def source(self) -> BlockFiles:
        return BlockFiles.open(Path(self.plan.inputs["files"]["path"]), with_holes=True)

    @lazy
    def target(self) -> BlockFiles:
        source = self.source
        return BlockFiles(
            folder=Path(placed(self.plan.parameters["target"], self.plan.workspace)),
            shape=source.shape,
            files=tuple(BlockFile(f"{Path(f.name).stem}.h5", f.box, f.core) for f in source.files),
            voxel_size=source.voxel_size,
            offset=source.offset,
            made_from=self.plan.fingerprint,
            begins=source.begins,
        )

    @lazy
    def predictor(self) -> Predictor:
        return planned_predictor(self.plan)

    def warning(self) -> str | None:
        source = self.source
        voxel_size = source.voxel_size or source.volume(source.files[0]).voxel_size
        far = voxel_size_warning(planned_checkpoint(self.plan), voxel_size, str(source.folder))
        lacking = source.lacking()
        holes = (
            f"no file in {source.folder} holds the voxels {listed(lacking)} (zyx): what is there is predicted, and cannot be joined"
            if lacking
            else None
        )
        return "; ".join(sentence for sentence in (far, holes) if sentence is not None) or None

    def prepare(self) -> None:
        if self.target.folder.resolve() == self.source.folder.resolve():
            raise StageError(f"predict.target is predict.source ({self.source.folder}): name another folder")
        require_network_fits(self.plan)
        super().prepare()

    def ahead(self, block: Block) -> None:
        self.read_ahead[block.index] = self._seen(block)

    def _seen(self, block: Block) -> tuple[Volume, WindowLattice, np.ndarray]:
        """A file, its windows, and all that they see of it."""
        image = self.source.volume(self.source.files[block.index])
        lattice = lattice_of(image.shape, self.plan.parameters)
        return image, lattice, read_pixels(image, image.box, lattice)

    def process(self, block: Block) -> Mapping[str, Any] | Later:
        parameters = self.plan.parameters
        image, lattice, pixels = self.read_ahead.pop(block.index, None) or self._seen(block)
        found = predict_block(
            image,
            image.box,
            lattice,
            self.predictor,
            blending_of(parameters),
            skip_blank=parameters["skip_blank"],
            round_down=parameters.get("pytc_compat", False),
            at_once=batches_at_once(self),
            on_progress=partial(self.running.note, block.index),
            pixels=pixels,
        )

        def write() -> Mapping[str, Any]:
            path = self.target.folder / self.target.files[block.index].name
            write_block_file(path, found.values, voxel_size=image.voxel_size, offset=image.offset)
            return {
                "voxels_crc32": voxels_checksum(found.values),
                "windows": found.windows,
                "blank_windows": found.blank,
            }

        return write
