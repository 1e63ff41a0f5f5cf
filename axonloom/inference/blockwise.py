"""One block of prediction, the same bytes whatever the block.

Why blocked equals whole: a voxel's value is sum(w_i p_i) / sum(w_i) over the windows that cover it. Those windows, their
pixels and their weights belong to the volume (:class:`~axonloom.inference.lattice.WindowLattice`), so p_i and w_i are the
same in every block. The only freedom left is the order in which float32 numbers are added. A block visits *all* windows that
touch its core in lattice order and adds only the part inside the core; a voxel therefore receives exactly the windows that
cover it, in lattice order, whichever block it lies in. Every step is one rounding a voxel, so no vector width, block edge
or neighbour can change it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from torch import Tensor

from axonloom.geometry import Box, Zyx
from axonloom.inference.accumulator import Accumulator, NotFiniteError
from axonloom.inference.blending import Blending, blending_weights
from axonloom.inference.lattice import WindowLattice
from axonloom.inference.places import in_fixed_places
from axonloom.inference.predictor import OutOfMemoryError, Predictor, intra_op_threads
from axonloom.inference.reflection import read_reflected
from axonloom.memory_limit import memory_limit
from axonloom.volumes.volume import Volume, VolumeError


def is_blank(window: np.ndarray) -> bool:
    """Whether all voxels of a window (c, z, y, x) have one value: padding, a missing section. Nothing is to be seen there."""
    return bool((window == window[:, :1, :1, :1]).all())


def window_outputs(
    pixels: np.ndarray,
    read: Box,
    indices: list[Zyx],
    lattice: WindowLattice,
    predictor: Predictor,
    *,
    blank: Collection[Zyx] = (),
    at_once: int = 1,
) -> Iterator[tuple[Box, Tensor | None]]:
    """Every window with its prediction, in lattice order; what a batch gives too early waits. None for ``blank`` windows.

    ``at_once`` batches are predicted at the same time, while the caller works on what came before.
    """

    def predicted(batch: list[Zyx | None]) -> dict[Zyx, Tensor]:
        windows = np.zeros((predictor.batch, pixels.shape[0], *lattice.window), np.float32)
        for slot, index in enumerate(batch):
            if index is not None:
                cut = lattice.window_at(index).slices_in(read)
                windows[slot] = predictor.normalised(pixels[(slice(None), *cut)])
        outputs = predictor.predict(windows)
        if predictor.batch == 1:
            return {index: outputs[0] for index in batch if index is not None}
        # Copies: one window that waits must not keep the others' memory.
        return {index: outputs[slot].clone() for slot, index in enumerate(batch) if index is not None}

    waiting: dict[Zyx, Tensor | None] = dict.fromkeys(blank)
    batches = iter(in_fixed_places([index for index in indices if index not in waiting], predictor.batch))
    with ThreadPoolExecutor(at_once, thread_name_prefix="windows") as threads:
        ahead = deque(threads.submit(predicted, batch) for batch in islice(batches, at_once + 1))
        try:
            for due in indices:
                while due not in waiting:
                    waiting.update(ahead.popleft().result())
                    ahead.extend(threads.submit(predicted, batch) for batch in islice(batches, 1))
                yield lattice.window_at(due), waiting.pop(due)
        finally:
            for future in ahead:
                future.cancel()


@dataclass(frozen=True)
class Prediction:
    """What became of a block.

    Attributes
    ----------
    values : uint8 (c, z, y, x)
        The blended value clipped to 0..1, times 255, rounded to the nearest (half to even).
    windows : int
        How many touch the block.
    blank : int
        How many of these show one value only, and were not predicted.
    """

    values: np.ndarray
    windows: int
    blank: int


def read_pixels(image: Volume, core: Box, lattice: WindowLattice) -> np.ndarray:
    """Everything that the windows of a block see (c, z, y, x), reflected beyond the volume's edge.

    Raises
    ------
    OutOfMemoryError
        Of this machine.
    """
    read = lattice.hull(core)
    try:
        if read.voxels * (image.channels or 1) * image.dtype.itemsize > memory_limit():
            raise MemoryError
        return read_reflected(image, read)
    except MemoryError as error:
        raise OutOfMemoryError(
            f"no memory for the {' x '.join(map(str, read.shape))} voxels (z, y, x) of {image.uri} that a block with windows of "
            f"{lattice.window} reads: use a smaller infer.window, or smaller infer.blocks"
        ) from error


def predict_block(
    image: Volume,
    core: Box,
    lattice: WindowLattice,
    predictor: Predictor,
    blending: Blending = "gaussian",
    *,
    skip_blank: bool = False,
    round_down: bool = False,
    at_once: int = 1,
    on_progress: Callable[[float], None] = lambda share: None,
    pixels: np.ndarray | None = None,
) -> Prediction:
    """The prediction for one block.

    Parameters
    ----------
    image : Volume
        (z, y, x) or (c, z, y, x), any dtype the normalisation takes. Read once: the core and the windows around it.
    core : Box
        The voxels wanted, inside the image. Memory is about 4 (c + 2) bytes a voxel of it, plus the pixels read.
    lattice : WindowLattice
        Of the whole image.
    predictor : Predictor
        Gives values that mean 0..1.
    blending : {"gaussian", "bump", "constant"}
        Weights where windows overlap.
    skip_blank : bool
        Take 0 for windows that show one value only, instead of asking the network. Like the windows this is a matter of the
        volume, so it is the same for all blocks. The predictor must know its channels.
    round_down : bool
        Round towards 0 instead of to the nearest, as PyTorch Connectomics does.
    at_once : int
        Batches that are predicted at the same time, each on the predictor's own number of threads. Changes no byte.
    on_progress : function
        Called after every window with the share of them that is done, in this thread.
    pixels : (c, z, y, x), optional
        What :func:`read_pixels` gave for this core; read here without.

    Raises
    ------
    VolumeError
        The core reaches outside the image, or the network gave values that are not finite.
    OutOfMemoryError
        Of this machine or of its GPU.
    ValueError
        The lattice is of another shape, or blank windows are to be skipped and the predictor does not know its channels.
    """
    if lattice.volume_shape != tuple(image.shape):
        raise ValueError(
            f"the lattice covers {lattice.volume_shape} voxels (zyx), {image.uri} has {tuple(image.shape)}"
        )
    if core.voxels == 0 or not image.box.contains(core):
        raise VolumeError(f"{image.uri} holds {image.box} (zyx voxels); {core} is not a block of it")
    if skip_blank and predictor.channels is None:
        raise ValueError("to skip blank windows, the predictor must know how many channels it gives")
    read = lattice.hull(core)
    pixels = read_pixels(image, core, lattice) if pixels is None else pixels
    indices = lattice.indices_touching(core)
    blank = (
        {i for i in indices if is_blank(pixels[(slice(None), *lattice.window_at(i).slices_in(read))])}
        if skip_blank
        else set[Zyx]()
    )
    weights = blending_weights(blending, lattice.window)
    sums: Accumulator | None = None
    if predictor.channels is not None:
        sums = Accumulator(core.shape, predictor.channels, weights, predictor.device)
    with intra_op_threads(predictor.threads):
        outputs = window_outputs(pixels, read, indices, lattice, predictor, blank=blank, at_once=at_once)
        for number, (window, output) in enumerate(outputs, 1):
            if sums is None and output is not None:
                sums = Accumulator(core.shape, len(output), weights, predictor.device)
            assert sums is not None  # no window is blank where the channels are not known
            shared = lattice.counted(window).clipped(core)
            sums.add(output, shared.slices_in(window), shared.slices_in(core))
            on_progress(number / len(indices))
        assert sums is not None  # the core is not empty and the lattice covers the volume
        try:
            values = sums.as_uint8(round_down)
        except NotFiniteError as error:
            raise VolumeError(
                f"the network gave {error} of {core} of {image.uri}; look for NaN in the image or a checkpoint from a training that "
                "diverged"
            ) from error
    return Prediction(values, len(indices), len(blank))
