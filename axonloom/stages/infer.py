"""Images to affinities, block by block, with no trace of the blocks in the result."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from axonloom.assembly.pyramid import coarser_box, downsampled_shape
from axonloom.checksums import voxels_checksum
from axonloom.config.infer import InferSettings
from axonloom.config.model import ModelSettings
from axonloom.geometry import Block, BlockGrid, Box, Zyx, chunk_for_blocks
from axonloom.inference.batch_size import batch_for_gpu
from axonloom.inference.blending import Blending
from axonloom.inference.block_size import economical_block
from axonloom.inference.blockwise import predict_block, read_pixels
from axonloom.inference.dry_run import dry_run
from axonloom.inference.lattice import WindowLattice
from axonloom.inference.places import share_filled
from axonloom.inference.predictor import PredictionError, Predictor, load_predictor, settings_that_matter
from axonloom.lazy import lazy
from axonloom.networks.checkpoint import Checkpoint
from axonloom.networks.foreign import ForeignCheckpoint, open_checkpoint
from axonloom.stage import Later, Stage, StageError, StagePlan
from axonloom.stages.inputs import open_volume_input
from axonloom.stages.stage_volume import ensure_volume
from axonloom.volumes import Volume, open_volume

#: The name of the blending that takes each voxel from the middle of one window.
CROP = "crop"


class InferStage(Stage):
    name = "infer"
    version = 3
    voxels_per_second = 1e5
    bytes_read, bytes_written, memory = 1.5, 3.0, 30.0

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
            tissue_factor(found_tissue, open_volume_input(image, workspace))
            inputs["tissue"] = tissue
        parameters = settings_that_matter(settings, found)
        lattice = lattice_of(shape, parameters)
        grid = BlockGrid(Box.of_shape(shape), settings.blocks or economical_block(block, lattice))
        return StagePlan(
            stage=cls.name,
            version=cls.version,
            parameters=with_batch(parameters, settings, found, workspace, grid.block(0).core, lattice),
            inputs=inputs,
            grid=grid,
            workspace=workspace,
        )

    def __init__(self, plan: StagePlan) -> None:
        super().__init__(plan)
        #: What :meth:`ahead` has read, by block.
        self.read_ahead: dict[int, tuple[np.ndarray | None, np.ndarray | None]] = {}

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
        factor = tissue_factor(self.tissue, self.image)
        coarse = coarser_box(core, factor)
        keep = self.tissue.read(coarse) != 0
        for axis, f in enumerate(factor):
            keep = np.repeat(keep, f, axis)
        return keep[core.shifted([-a * f for a, f in zip(coarse.origin, factor, strict=True)]).slices]

    def prepare(self) -> None:
        require_network_fits(self.plan)
        grid = self.plan.grid
        ensure_volume(
            self.plan.folder / "affinities.zarr",
            shape=grid.region.shape,
            dtype=np.uint8,
            channels=len(planned_checkpoint(self.plan).description.channels),
            chunk=chunk_for_blocks(grid.shape, grid.region.shape),
            voxel_size=self.image.voxel_size,
            offset=self.image.offset,
            attributes={"axonloom_fingerprint": self.plan.fingerprint},
        )

    def ahead(self, block: Block) -> None:
        self.read_ahead[block.index] = self._seen(block)

    def _seen(self, block: Block) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Where there is tissue in a block, None where nobody said; and its pixels, None where there is none of it."""
        keep = self.keep(block.core)
        empty = keep is not None and not keep.any()
        return keep, None if empty else read_pixels(self.image, block.core, self.lattice)

    def process(self, block: Block) -> Mapping[str, Any] | Later:
        parameters = self.plan.parameters
        keep, pixels = self.read_ahead.pop(block.index, None) or self._seen(block)
        if pixels is None:
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
            on_progress=partial(self.running.note, block.index),
            pixels=pixels,
        )

        def write() -> Mapping[str, Any]:
            values = found.values if keep is None else found.values * keep
            self.affinities.write(block.core, values)
            self.affinities.sync(block.core)
            return {"voxels_crc32": voxels_checksum(values), "windows": found.windows, "blank_windows": found.blank}

        return write

    def stored(self, block: Block) -> tuple[Volume, Box]:
        return self.affinities, block.core


def with_batch(
    parameters: dict[str, Any],
    settings: InferSettings,
    checkpoint: Checkpoint | ForeignCheckpoint,
    workspace: Path,
    block: Box,
    lattice: WindowLattice,
) -> dict[str, Any]:
    """``parameters`` with the batch for this machine's GPU where it is to be ``auto``, which is tried for such a block."""
    if settings.batch != "auto" or parameters["device"] == "cpu":
        return parameters
    touching = lattice.indices_touching(block)
    windows = [len({index[axis] for index in touching}) for axis in range(3)]
    # Two workers share a GPU as a rule: while one predicts, the other reads and writes.
    sums = 2 * 4 * (len(checkpoint.description.channels) + 1) * block.voxels
    batch = batch_for_gpu(
        workspace, checkpoint, parameters, filled=lambda batch: share_filled(windows, batch), room=sums
    )
    return {**parameters, "batch": batch}


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


def planned_checkpoint(plan: StagePlan) -> Checkpoint | ForeignCheckpoint:
    """The network of a plan, as it is described; nothing is built, so this needs no GPU.

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
    return checkpoint


def planned_predictor(plan: StagePlan) -> Predictor:
    """The network of a plan, ready to run."""
    return load_predictor(planned_checkpoint(plan), plan.parameters)


def require_network_fits(plan: StagePlan) -> None:
    """Refuse a network that cannot predict windows of this size, before the first block.

    An own network is built, and run without values; a program from elsewhere, of which nobody has said what it takes and gives, or a
    network that is to be compiled, is tried on one batch of nothing, where this machine can.

    Raises
    ------
    CheckpointError
        The weights are those of another network.
    PredictionError
        It fails, or gives something else than was said of it.
    CompilationError
    """
    checkpoint, parameters = planned_checkpoint(plan), plan.parameters
    if isinstance(checkpoint, Checkpoint) and _is_known_to_fit(checkpoint, parameters) and "compile" not in parameters:
        return
    if parameters["device"] != "cpu" and not torch.cuda.is_available():
        return
    nothing = np.zeros((parameters["batch"], 1, *parameters["window"]), np.float32)
    try:
        load_predictor(checkpoint, parameters).predict(nothing)
    except RuntimeError as error:
        raise PredictionError(
            f"{checkpoint.folder} cannot predict {nothing.shape} voxels (batch, channel, z, y, x): {str(error).splitlines()[-1]}"
        ) from error


def _is_known_to_fit(checkpoint: Checkpoint, parameters: Mapping[str, Any]) -> bool:
    """Whether a network gives each voxel of a window its channels; False where that takes a trial."""
    network = checkpoint.build_network()
    batch, window = parameters["batch"], parameters["window"]
    try:
        found = dry_run(network, (batch, checkpoint.description.parameters.get("in_channels", 1), *window))
    except (RuntimeError, NotImplementedError, ValueError):
        return False
    return found.shape == (batch, len(checkpoint.description.channels), *window)


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


def tissue_factor(tissue: Volume, image: Volume) -> Zyx:
    """Voxels (z, y, x) of the images along an edge of one voxel of ``tissue``; 1 where it is as fine.

    Raises
    ------
    StageError
        It is no coarser copy of them, or its shape fits several factors and no voxel size says which.
    """
    z, y, x = (_axis_factor(tissue, image, axis) for axis in range(3))
    there = tuple(o * f for o, f in zip(tissue.offset, (z, y, x), strict=True))
    if any(tissue.offset) and any(abs(a - b) >= f for a, b, f in zip(there, image.offset, (z, y, x), strict=True)):
        raise StageError(
            f"volumes.tissue begins at voxel {tuple(tissue.offset)} (zyx), which is {there} of the images, and they begin at "
            f"{tuple(image.offset)}: it must cover what they cover"
        )
    return z, y, x


def _axis_factor(tissue: Volume, image: Volume, axis: int) -> int:
    n, m = image.shape[axis], tissue.shape[axis]
    fitting = [factor for factor in range(-(-n // m), n + 1) if -(-n // factor) == m]
    if not fitting:
        raise StageError(
            f"volumes.tissue has {tuple(tissue.shape)} voxels (zyx), the images have {tuple(image.shape)}: it must be a copy of "
            f"them, or one that is coarser by whole factors, such as {downsampled_shape(image.shape, (2, 2, 2))}"
        )
    if tissue.voxel_size is not None and image.voxel_size is not None:
        by_size = tissue.voxel_size[axis] / image.voxel_size[axis]
        factor = max(1, round(by_size))
        if abs(by_size - factor) > 0.01 * factor or -(-n // factor) != m:
            raise StageError(
                f"volumes.tissue has {tuple(tissue.shape)} voxels of {tissue.voxel_size} nm (zyx), the images have "
                f"{tuple(image.shape)} of {image.voxel_size}: these do not go together; set volumes.tissue.voxel_size"
            )
        return factor
    if len(fitting) > 1:
        # Masks are made by halving more often than not, but that is no reason to shift one in silence.
        raise StageError(
            f"volumes.tissue has {tuple(tissue.shape)} voxels (zyx), the images have {tuple(image.shape)}: along {'zyx'[axis]} it "
            f"may be coarser by {fitting[0]} to {fitting[-1]} times; set volumes.tissue.voxel_size and volumes.image.voxel_size"
        )
    return fitting[0]
