"""Images to affinities."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from axonloom.config.model import ModelSettings
from axonloom.config.settings import Settings

Voxels = tuple[PositiveInt, PositiveInt, PositiveInt]


class InferSettings(Settings):
    """How a network is run over a volume. All but ``checkpoint`` and ``blocks`` change the result in its last bits or more."""

    checkpoint: Path | None = Field(
        default=None,
        description="Checkpoint folder, model:NAME of a registered model, or a TorchScript file (.pt) or exported program (.pt2), for "
        "which infer.model says the rest. "
        "Default: the best one that training left in the workspace.",
    )
    model: ModelSettings | None = Field(
        default=None,
        description="What the checkpoint is, where it is a TorchScript file or an exported program from elsewhere.",
    )
    window: Voxels | None = Field(
        default=None,
        description="Voxels (z, y, x) that the network sees at once. Default: what the checkpoint proposes.",
    )
    stride: Voxels | None = Field(
        default=None,
        description="Voxels (z, y, x) from one window to the next, at most the window. Smaller is smoother and slower: time "
        "grows by 8 for half the stride. Default: half the window.",
    )
    grey_levels: tuple[float, float] | None = Field(
        default=None,
        description="Grey levels of the image that are black and white to a network trained on uint8; needed for images of another "
        "type. Default: 0 and 255.",
    )
    margin: tuple[NonNegativeInt, NonNegativeInt, NonNegativeInt] = Field(
        default=(0, 0, 0),
        description="Voxels (z, y, x) of reflection around the volume, so that its border is not only seen by the faint rims of "
        "windows.",
    )
    blending: Literal["gaussian", "bump", "constant", "crop"] = Field(
        default="gaussian",
        description="Weights where windows overlap: gaussian and bump trust the middle of a window, constant is the mean; crop "
        "takes each voxel from the middle of one window, as large as the stride.",
    )
    skip_blank: bool = Field(
        default=True,
        description="Take 0 for windows whose voxels all have one grey value (padding, missing sections), without asking the network.",
    )
    views: Literal[1, 4, 8, 16] = Field(
        default=1,
        description="Sides from which the network looks at each window (test-time augmentation), at so many times the work: "
        "4: mirrored along y and x; 8: also turned in the plane; 16: also mirrored along z.",
    )
    merge_views: Literal["mean", "min", "max"] = Field(
        default="mean", description="What several views make of a voxel; min parts objects rather than join them."
    )
    batch: PositiveInt | Literal["auto"] = Field(
        default="auto",
        description="Windows computed at once. auto: 1 on a CPU, where more are no faster; on a GPU what gives the most windows a second, "
        "tried once for the network and the GPU and then kept in the workspace. Set it where a run for GPUs is planned without one.",
    )
    threads: PositiveInt = Field(
        default=1,
        description="CPU threads inside one worker's network. More workers use cores better than more threads.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="Where the network runs; auto takes a GPU when the planning process sees one. Where it sees none and the jobs of "
        "a cluster have some, it asks for a choice.",
    )
    precision: Literal["float32", "tf32", "bfloat16"] = Field(
        default="float32",
        description="Arithmetic of the network. tf32 and bfloat16 are faster on recent GPUs and slightly less exact.",
    )
    channels_last: bool | Literal["auto"] = Field(
        default="auto",
        description="Whether a voxel's channels lie together in memory while the network computes. auto: on a CPU, where it is 1.1 to 1.4 "
        "times as fast, for axonloom's own networks.",
    )
    compile: bool = Field(
        default=False,
        description="Have torch compile the network first: a minute for each worker, then some percent faster where it works at all. "
        "For axonloom's own networks; on a CPU it needs a C++ compiler.",
    )
    pytc_compat: bool = Field(
        default=False,
        description="Give PyTorch Connectomics v1's own numbers, to repeat old results: the last window moved back to the edge, values "
        "rounded down, and several views merged without regard to what an affinity belongs to (which is wrong).",
    )
    blocks: Voxels | None = Field(
        default=None,
        description="Voxels (z, y, x) of a block of inference: larger than blocks.shape saves windows that neighbouring "
        "blocks both compute (64-voxel windows at stride 32: 1.95 times the work at 128, 1.20 at 512). Changes no voxel of "
        "the result. About 24 bytes of memory a voxel for each worker. Default: blocks.shape, doubled along some axes until at most "
        "a quarter of the windows is computed twice.",
    )

    @model_validator(mode="after")
    def _without_gaps(self) -> InferSettings:
        if self.window and self.stride and any(s > w for s, w in zip(self.stride, self.window, strict=True)):
            raise ValueError(
                f"infer.stride {self.stride} is larger than infer.window {self.window} and would leave gaps between windows; "
                f"at most {self.window} works"
            )
        if self.blending == "crop" and any(self.margin):
            raise ValueError(
                f"infer.margin {self.margin} has no effect with infer.blending crop, where no window is trusted less at the volume's "
                "border: leave one of them out"
            )
        if self.grey_levels and not self.grey_levels[0] < self.grey_levels[1]:
            raise ValueError(f"infer.grey_levels are black and white, the second the larger, not {self.grey_levels}")
        return self
