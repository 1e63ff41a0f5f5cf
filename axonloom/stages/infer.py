"""Images to affinities, block by block, with no trace of the blocks in the result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from axonloom.assembly.pyramid import coarser_box, downsampled_shape
from axonloom.checksums import voxels_checksum
from axonloom.config.infer import InferSettings
from axonloom.config.model import ModelSettings
from axonloom.geometry import Block, BlockGrid, Box, Zyx, chunk_for_blocks
from axonloom.inference.batch_size import batch_for_gpu
from axonloom.inference.blending import Blending
from axonloom.inference.block_size import economical_block
from axonloom.inference.blockwise import predict_block
from axonloom.inference.lattice import WindowLattice
from axonloom.inference.predictor import Predictor, load_predictor, settings_that_matter
from axonloom.lazy import lazy
from axonloom.networks.checkpoint import Checkpoint
from axonloom.networks.foreign import ForeignCheckpoint, open_checkpoint
from axonloom.stage import Stage, StageError, StagePlan
from axonloom.stages.inputs import open_volume_input
from axonloom.stages.stage_volume import ensure_volume
from axonloom.volumes import Volume, open_volume

#: The name of the blending that takes each voxel from the middle of one window.
CROP = "crop"


class InferStage(Stage):
    name = "infer"
    version = 3
    voxels_per_second = 1e5
    bytes_read, bytes_written, memory = 1.5, 3.0, 24.0

    @classmethod
    def planned(
        cls,
        image: Mapping[str, Any],
        shape: Zyx,
        tissue: Mapping[str, Any] | None,
        checkpoint: Path,
        settings: InferSettings,
        block: Zyx,
        workspace: Path,
    ) -> StagePlan:
        """The plan for images of this shape (zyx) and the network in ``checkpoint``.

        Blocks are those of the settings, else as many of ``block`` together as is economical.

        Raises
        ------
        StageError
            ``tissue`` is no coarser copy of the images.
        """
        found = open_checkpoint(checkpoint, settings.model)
        inputs = {"image": image, "checkpoint": checkpoint_input(found)}
        if tissue is not None:
            found_tissue = open_volume_input(tissue, workspace)
            if found_tissue.channels is not None:
                raise StageError(
                    f"volumes.tissue has {found_tissue.channels} channels: it is one value a voxel (z, y, x)"
                )
            coarser_by(found_tissue.shape, shape)
            inputs["tissue"] = tissue
        parameters = prediction_parameters(settings, found, workspace)
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters=parameters,
            inputs=inputs,
            grid=BlockGrid(
                Box.of_shape(shape), settings.blocks or economical_block(block, lattice_of(shape, parameters))
            ),
            workspace=workspace,
        )

    @lazy
    def image(self) -> Volume:
        return open_volume_input(self.plan.inputs["image"], self.plan.workspace)

    @lazy
    def affinities(self) -> Volume:
        return open_volume(str(self.plan.folder / "affinities.zarr"))

    @lazy
    def predictor(self) -> Predictor:
        return planned_predictor(self.plan)

    @lazy
    def lattice(self) -> WindowLattice:
        return lattice_of(self.plan.grid.region.shape, self.plan.parameters)

    @lazy
    def tissue(self) -> Volume | None:
        given = self.plan.inputs.get("tissue")
        return open_volume_input(given, self.plan.workspace) if given is not None else None

    def keep(self, core: Box) -> np.ndarray | None:
        """Where there is tissue in a block (bool (z, y, x)); None where nobody said."""
        if self.tissue is None:
            return None
        factor = coarser_by(self.tissue.shape, self.image.shape)
        coarse = coarser_box(core, factor)
        keep = self.tissue.read(coarse) != 0
        for axis, f in enumerate(factor):
            keep = np.repeat(keep, f, axis)
        return keep[core.shifted([-a * f for a, f in zip(coarse.origin, factor, strict=True)]).slices]

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
        parameters = self.plan.parameters
        keep = self.keep(block.core)
        if keep is not None and not keep.any():
            # Chunks that are not written read as 0.
            nothing = np.zeros((self.predictor.channels or 0, *block.core.shape), np.uint8)
            return {"voxels_crc32": voxels_checksum(nothing), "without_tissue": True}
        found = predict_block(
            self.image,
            block.core,
            self.lattice,
            self.predictor,
            blending_of(parameters),
            skip_blank=parameters["skip_blank"],
            round_down=parameters.get("pytc_compat", False),
            at_once=batches_at_once(self),
        )
        values = found.values if keep is None else found.values * keep
        self.affinities.write(block.core, values)
        self.affinities.sync(block.core)
        return {"voxels_crc32": voxels_checksum(values), "windows": found.windows, "blank_windows": found.blank}

    def stored(self, block: Block) -> tuple[Volume, Box]:
        return self.affinities, block.core


def prediction_parameters(
    settings: InferSettings, checkpoint: Checkpoint | ForeignCheckpoint, workspace: Path
) -> dict[str, Any]:
    """What decides the bytes of a prediction; a batch that is ``auto`` is the one for this machine's GPU."""
    parameters = settings_that_matter(settings, checkpoint)
    if settings.batch == "auto" and parameters["device"] != "cpu":
        parameters["batch"] = batch_for_gpu(workspace, checkpoint, parameters)
    return parameters


def checkpoint_input(checkpoint: Checkpoint | ForeignCheckpoint) -> dict[str, Any]:
    """A network as a stage's input."""
    given: dict[str, Any] = {
        "kind": "checkpoint",
        "path": str(checkpoint.folder),
        "identity": checkpoint.identity(),
    }
    if isinstance(checkpoint, ForeignCheckpoint):
        given["model"] = checkpoint.model.model_dump(mode="json")
    return given


def planned_predictor(plan: StagePlan) -> Predictor:
    """The network of a plan, ready to run.

    Raises
    ------
    StageError
        What lies there is another network now.
    """
    given = plan.inputs["checkpoint"]
    model = ModelSettings.model_validate(given["model"]) if "model" in given else None
    checkpoint = open_checkpoint(Path(given["path"]), model)
    if checkpoint.identity() != given["identity"]:
        raise StageError(f"{given['path']} is another network than when this inference was planned: run the job again")
    return load_predictor(checkpoint, plan.parameters)


def batches_at_once(stage: Stage) -> int:
    """On a CPU one a core that is to spare; a GPU has one batch, which is as large as fits."""
    return stage.threads if stage.plan.parameters["device"] == "cpu" else 1


def blending_of(parameters: Mapping[str, Any]) -> Blending:
    """How windows are weighted; where they are cropped, each voxel has one."""
    return "constant" if parameters["blending"] == CROP else parameters["blending"]


def lattice_of(shape: Zyx, parameters: Mapping[str, Any]) -> WindowLattice:
    """The windows of an inference: anchored at the volume's origin, whatever its blocks."""
    return WindowLattice(
        shape,
        tuple(parameters["window"]),
        tuple(parameters["stride"]),
        margin=tuple(parameters.get("margin", (0, 0, 0))),
        far_edge="shift" if parameters.get("pytc_compat") else "reflect",
        crop=parameters["blending"] == CROP,
    )


def coarser_by(coarse: Zyx, fine: Zyx) -> Zyx:
    """Factors (z, y, x) by which a volume of shape ``coarse`` is a coarser copy of one of shape ``fine``; 1 where it is as fine.

    Raises
    ------
    StageError
        It is none.
    """
    z, y, x = (-(-n // m) for n, m in zip(fine, coarse, strict=True))
    if downsampled_shape(fine, (z, y, x)) != tuple(coarse):
        raise StageError(
            f"volumes.tissue has {tuple(coarse)} voxels (zyx), the images have {tuple(fine)}: it must be a copy of them, or one that "
            f"is coarser by whole factors, such as {downsampled_shape(fine, (2, 2, 2))}"
        )
    return z, y, x
