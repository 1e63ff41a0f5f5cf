"""A network with all that decides the bytes of its output fixed: batch shape, threads, precision, activation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from axonloom.bad_input import BadInputError
from axonloom.config.infer import InferSettings
from axonloom.inference.compiled import CompiledNetwork
from axonloom.inference.dry_run import dry_run
from axonloom.inference.views import Views
from axonloom.memory_limit import memory_limit
from axonloom.networks.checkpoint import Checkpoint
from axonloom.networks.foreign import ForeignCheckpoint
from axonloom.networks.layers import laid_out
from axonloom.networks.normalisation import Normalisation
from axonloom.representations.channels import ACTIVATIONS, Activation
from axonloom.representations.representation import Representation
from axonloom.turn import Seen
from axonloom.volumes.volume import Volume

Precision = Literal["float32", "tf32", "bfloat16"]


class PredictionError(BadInputError):
    """A network that cannot be run as asked, said in one sentence."""


class OutOfMemoryError(PredictionError, MemoryError):
    """There is too little memory for a batch of windows."""


@contextmanager
def intra_op_threads(count: int) -> Iterator[None]:
    """The calling thread runs its torch operators on exactly ``count`` threads; afterwards on as many as before.

    torch (built with OpenMP) keeps this number per calling thread: ``torch.set_num_threads`` in one Python thread leaves the
    others that have already used torch as they are, and is merely the first value of those that have not. So a worker has
    to set it itself, at each use, and may then rely on it.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _settle_cuda(precision: Precision) -> None:
    """Deterministic kernels, chosen without timing them, for this whole process: torch has no narrower switch."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is not deterministic without a fixed workspace
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


class Predictor:
    """Windows of an image in, windows of evidence out; may be used by several threads at once.

    Equal input gives equal bytes for one batch size, thread count, device kind, precision and torch version on processors
    with the same vector instructions: torch chooses its kernels, and with them the order of additions, by all of these.

    Parameters
    ----------
    network : torch.nn.Module or function
        Takes float32 (batch, c, z, y, x), gives (batch, c_out, z, y, x) of the same voxels. A module is moved to the device
        and put in evaluation mode.
    normalisation : Normalisation or function or None
        Raw pixels (c, z, y, x) to what the network was trained on. It must not depend on the block. None: as they are.
    activation : {"sigmoid", "tanh", "softmax", "none"} or function
        From the network's output to 0..1; ``tanh`` is mapped from -1..1, ``softmax`` runs over the channels.
    batch : int
        Windows computed at once. Always exactly so many: a batch that is not full is filled up with zeros.
    threads : int
        Intra-op threads of torch for each calling thread.
    device : str
        ``cpu``, ``cuda`` or ``cuda:1``. A GPU sets torch's deterministic switches for the whole process.
    precision : {"float32", "tf32", "bfloat16"}
        Arithmetic of the network. ``tf32`` is a GPU's; results are float32 in any case.
    channels : int or None
        Channels of the output; None where the network alone knows.
    views : Views or None
        Sides from which the network looks at each window; None: one.
    layout : torch.memory_format
        In which order a voxel's channels lie in memory while the network computes; it changes the last bits.
    compiled : bool
        Whether torch compiles the network (a module), when it is first used; it changes the last bits.

    Raises
    ------
    PredictionError
        Settings that cannot work here.
    """

    def __init__(
        self,
        network: nn.Module | Callable[[Tensor], Tensor],
        normalisation: Normalisation | Callable[[np.ndarray], np.ndarray] | None = None,
        activation: Activation | Callable[[Tensor], Tensor] = "sigmoid",
        batch: int = 1,
        threads: int = 1,
        device: str = "cpu",
        precision: Precision = "float32",
        channels: int | None = None,
        views: Views | None = None,
        layout: torch.memory_format = torch.contiguous_format,
        compiled: bool = False,
    ) -> None:
        if batch < 1 or threads < 1:
            raise PredictionError(f"batch and threads are at least 1, not {batch} and {threads}")
        if isinstance(activation, str) and activation not in ACTIVATIONS:
            raise PredictionError(f"activation is one of {', '.join(ACTIVATIONS)}, not {activation!r}")
        if precision not in get_args(Precision):
            raise PredictionError(f"precision is one of {', '.join(get_args(Precision))}, not {precision!r}")
        self.device = torch.device(device)
        if self.device.type == "cuda":
            if not torch.cuda.is_available():
                raise PredictionError(f"device {device!r} is asked for, but torch sees no GPU here; use 'cpu'")
            _settle_cuda(precision)
        elif precision == "tf32":
            raise PredictionError("precision 'tf32' is a GPU's; on the CPU use 'float32' or 'bfloat16'")
        if isinstance(network, nn.Module):
            network = network.eval().to(self.device)
            if layout != torch.contiguous_format:
                network = laid_out(network, layout)
            if compiled:
                network = CompiledNetwork(network, layout)
        self.network = network
        self.normalisation = normalisation
        self.activation = ACTIVATIONS[activation] if isinstance(activation, str) else activation
        self.batch = batch
        self.threads = threads
        self.precision = precision
        self.channels = channels
        self.views = views
        self.layout = layout

    def normalised(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels of one window, (c, z, y, x) of the image's dtype, as the network takes them: float32 of that shape."""
        if isinstance(self.normalisation, Normalisation):
            return self.normalisation.apply(pixels)
        if self.normalisation is not None:
            pixels = self.normalisation(pixels)
        return np.asarray(pixels, np.float32)

    def predict(self, windows: np.ndarray) -> Tensor:
        """The network's evidence for one full batch, on the device.

        Parameters
        ----------
        windows : float32 (batch, c, z, y, x)
            Normalised; exactly ``batch`` of them.

        Returns
        -------
        float32 (batch, c_out, z, y, x)
            Activated values.

        Raises
        ------
        PredictionError
            The batch is of another size, the network's output does not fit its input, or there is too little memory for it.
        """
        if windows.ndim != 5 or len(windows) != self.batch:
            raise PredictionError(f"a batch here is ({self.batch}, c, z, y, x), not {windows.shape}")
        low = self.precision == "bfloat16"
        try:
            # torch's own allocation, because its kernels may treat memory differently that does not start on their boundary
            # (pinned for a GPU: its copies are faster).
            pixels = torch.empty(
                windows.shape, dtype=torch.float32, pin_memory=self.device.type == "cuda", memory_format=self.layout
            )
            pixels.copy_(torch.from_numpy(windows))
            with (
                intra_op_threads(self.threads),
                torch.inference_mode(),
                torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=low),
            ):
                pixels = pixels.to(self.device, non_blocking=True)
                evidence = self._evidence(pixels) if self.views is None else self.views.merged(self._evidence, pixels)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            raise OutOfMemoryError(
                f"no memory on {self.device} for {self.batch} windows of {windows.shape[2:]} voxels (z, y, x) at once: "
                + ("use a smaller infer.batch" if self.batch > 1 else "use a smaller infer.window")
                + f" ({str(error).splitlines()[0]})"
            ) from error
        if evidence.ndim != 5 or (evidence.shape[0], *evidence.shape[2:]) != (self.batch, *windows.shape[2:]):
            raise PredictionError(
                f"the network turns {windows.shape} into {tuple(evidence.shape)}; it must keep the batch and the voxels "
                "(z, y, x): try another window, such as a multiple of its total pooling"
            )
        if self.channels is not None and evidence.shape[1] != self.channels:
            raise PredictionError(f"the network gives {evidence.shape[1]} channels, {self.channels} were announced")
        return evidence

    def _evidence(self, pixels: Tensor) -> Tensor:
        return self.activation(self.network(pixels).float()).float().contiguous()


def _is_out_of_memory(error: Exception) -> bool:
    # On a CPU torch has no exception of its own for it.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def settings_that_matter(settings: InferSettings, checkpoint: Checkpoint | ForeignCheckpoint) -> dict[str, Any]:
    """What decides the bytes of a prediction, beside the image and the checkpoint: plain JSON, for the fingerprint.

    Defaults are resolved here: the checkpoint's window, half of it as the stride, and the device that ``auto`` finds. A batch that is
    ``auto`` is 1, as is best on a CPU; for a GPU see :mod:`axonloom.inference.batch_size`.
    """
    window = settings.window or checkpoint.description.window
    stride = settings.stride or tuple(max(1, n // 2) for n in window)
    if any(s > w for s, w in zip(stride, window, strict=True)):
        raise PredictionError(
            f"infer.stride {tuple(stride)} is larger than the window {tuple(window)} that the checkpoint proposes and would "
            "leave gaps; set infer.window too, or leave infer.stride out"
        )
    if settings.compile and not isinstance(checkpoint, Checkpoint):
        raise PredictionError(
            f"infer.compile is for axonloom's own networks, and {checkpoint.folder} is a program from elsewhere: leave it out"
        )
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return {
        "window": list(window),
        "stride": list(stride),
        "blending": settings.blending,
        "skip_blank": settings.skip_blank and not settings.pytc_compat,
        "batch": 1 if settings.batch == "auto" else settings.batch,
        "threads": settings.threads,
        "device": device,
        "precision": settings.precision,
        "torch": str(torch.__version__),
        **({"grey_levels": list(settings.grey_levels)} if settings.grey_levels else {}),
        # Only where they are asked for, so that what was made without stays valid.
        **({"margin": list(settings.margin)} if any(settings.margin) else {}),
        **({"pytc_compat": True} if settings.pytc_compat else {}),
        **({"channels_last": settings.channels_last} if settings.channels_last != "auto" else {}),
        **({"compile": True} if settings.compile else {}),
        **({"views": settings.views, "merge_views": settings.merge_views} if settings.views > 1 else {}),
    }


def require_image_fits(checkpoint: Checkpoint | ForeignCheckpoint, image: Volume, settings: InferSettings) -> None:
    """Raise PredictionError where the network cannot take the image, or would see other grey levels than it was trained on.

    A network that was trained on uint8 has the whole range of uint8 as its black and white; others have grey levels of their
    training images, which only an image of their type can have.
    """
    dtype, takes = image.dtype, checkpoint.description.parameters.get("in_channels", 1)
    if takes != (image.channels or 1):
        raise PredictionError(
            f"{image.uri} has {image.channels or 1} channel{'s' if image.channels else ''}, and the network of {checkpoint.folder} takes "
            f"{takes}: it needs images of the kind that it was trained on"
        )
    on_uint8 = checkpoint.normalisation == Normalisation.of_dtype(np.uint8)
    if settings.grey_levels is not None and not on_uint8:
        raise PredictionError(
            "infer.grey_levels is for networks that were trained on uint8; this one has grey levels of its own "
            f"(mean {checkpoint.normalisation.mean:g}): leave it out"
        )
    if settings.grey_levels is None and on_uint8 and dtype != np.uint8:
        raise PredictionError(
            f"{image.uri} holds {dtype}, and the network was trained on uint8: say which grey levels are black and white, such as "
            "infer.grey_levels=[0, 4095], or convert the image"
        )
    trained = checkpoint.description.image_dtype
    other_type = trained is not None and not on_uint8 and not _alike(np.dtype(trained), dtype)
    if other_type or (dtype.kind in "ui" and checkpoint.normalisation.mean > np.iinfo(dtype).max):
        raise PredictionError(
            f"{image.uri} holds {dtype}, and the network was trained on {f'{trained}, ' if trained else ''}grey levels around "
            f"{checkpoint.normalisation.mean:g}: it needs images of the type that it was trained on"
        )


def _alike(trained: np.dtype, dtype: np.dtype) -> bool:
    return trained == dtype or (trained.kind == "f" and dtype.kind == "f")


def voxel_size_warning(
    checkpoint: Checkpoint | ForeignCheckpoint, voxel_size: tuple[float, float, float] | None, uri: str
) -> str | None:
    """A sentence where the image's voxels are far from those the network was trained on (more than a quarter on an axis)."""
    trained = checkpoint.description.voxel_size
    if trained is None or voxel_size is None:
        return None
    if all(0.8 <= ours / theirs <= 1.25 for ours, theirs in zip(voxel_size, trained, strict=True)):
        return None
    return (
        f"{uri} has voxels of {_nm(voxel_size)} nm, and the network was trained on {_nm(trained)} nm (z, y, x): expect worse results, or "
        "resample the image"
    )


def _nm(size: tuple[float, float, float]) -> str:
    return " x ".join(f"{n:g}" for n in size)


def _normalisation(trained: Normalisation, grey_levels: Sequence[float] | None) -> Normalisation:
    if grey_levels is None:
        return trained
    black, white = grey_levels
    return Normalisation(mean=(black + white) / 2, std=(white - black) / 2)


def _views(parameters: Mapping[str, Any], meaning: Representation) -> Views | None:
    if "views" not in parameters:
        return None
    stay = [Seen(channel) for channel in range(len(meaning.channels))]
    seen = (lambda turn: stay) if parameters.get("pytc_compat") else meaning.seen
    return Views.of(parameters["views"], seen, parameters["merge_views"])


def load_predictor(checkpoint: Checkpoint | ForeignCheckpoint, parameters: Mapping[str, Any]) -> Predictor:
    """The network of ``checkpoint``, run as :func:`settings_that_matter` wrote down.

    Raises
    ------
    PredictionError
        This machine has another version of torch, or no device of that kind: its bytes would not fit the other blocks'.
    OutOfMemoryError
        This machine has less memory than windows of that size take.
    """
    if parameters["torch"] != str(torch.__version__):
        raise PredictionError(
            f"this prediction was begun with torch {parameters['torch']}, here is {torch.__version__}: install that version, "
            "or plan the inference anew"
        )
    meaning = checkpoint.representation()
    # A CPU convolves faster where a voxel's channels lie together (1.1 to 1.4 times). A program from elsewhere may rely on their order.
    together = parameters.get("channels_last", parameters["device"] == "cpu" and isinstance(checkpoint, Checkpoint))
    network = checkpoint.build_network()
    if isinstance(checkpoint, Checkpoint):
        _require_memory(network, checkpoint, parameters)
    return Predictor(
        network,
        normalisation=_normalisation(checkpoint.normalisation, parameters.get("grey_levels")),
        activation=meaning.activation,
        views=_views(parameters, meaning),
        batch=parameters["batch"],
        threads=parameters["threads"],
        device=parameters["device"],
        precision=parameters["precision"],
        channels=len(checkpoint.description.channels),
        layout=torch.channels_last_3d if together else torch.contiguous_format,
        compiled=parameters.get("compile", False),
    )


def _require_memory(network: nn.Module, checkpoint: Checkpoint, parameters: Mapping[str, Any]) -> None:
    """Refuse windows that this machine cannot hold: it would kill the process. A GPU says so itself."""
    if parameters["device"] != "cpu":
        return
    shape = (parameters["batch"], checkpoint.description.parameters.get("in_channels", 1), *parameters["window"])
    try:
        needed = dry_run(network, shape).least_bytes // (2 if parameters["precision"] == "bfloat16" else 1)
    except (RuntimeError, NotImplementedError):
        # What does not fit is for the prediction to say.
        return
    if needed > (limit := memory_limit()):
        raise OutOfMemoryError(
            f"the network of {checkpoint.folder} takes at least {needed / 1e9:.1f} GB of memory for {parameters['batch']} "
            f"window{'s' if parameters['batch'] > 1 else ''} of {tuple(parameters['window'])} voxels (z, y, x), and there are "
            f"{limit / 1e9:.1f} GB: use a smaller " + ("infer.batch" if parameters["batch"] > 1 else "infer.window")
        )
