"""What a training run can be told."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from axonloom.config.optimization import AverageSettings, OptimizerSettings, ScheduleSettings
from axonloom.config.settings import Settings
from axonloom.config.volumes import RegionSettings
from axonloom.networks.presets import PresetError, preset

Voxels = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


class AugmentSettings(Settings):
    """How a training sample is changed, so that the network learns what does not matter."""

    flip: bool = Field(default=True, description="Mirror along z, y and x, each in half of the samples.")
    transpose: Literal["auto", "none", "xy", "all"] = Field(
        default="auto",
        description="Exchange axes: 'xy' swaps y and x in half of the samples; 'all' uses every order of the three axes, "
        "which is right only for isotropic volumes; 'auto' decides by the voxel size ('xy' where it is not known).",
    )
    intensity: Probability = Field(
        default=0.75, description="Share of samples whose brightness, contrast and gamma change (0 to 1)."
    )
    brightness: float = Field(
        default=0.15, ge=0, le=1, description="Largest shift of grey levels, as a fraction of half the grey range."
    )
    contrast: float = Field(
        default=0.2, ge=0, lt=1, description="Largest relative change of contrast (0.2: from 0.8 to 1.2 times)."
    )
    gamma: float = Field(
        default=0.5, ge=0, le=2, description="Gamma lies between 2 to the power of minus and of plus this number."
    )
    noise: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Largest standard deviation of added noise, as a fraction of half the grey range.",
    )
    dark_section: Probability = Field(
        default=0.0, description="Chance that a section (z plane) is darkened or lost, as in serial sections (0 to 1)."
    )


class ValidationSettings(Settings):
    """The part of the data that is kept from training and judged now and then."""

    every: int = Field(default=200, ge=1, description="Iterations between two validations.")
    fraction: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="Share of each volume's extent that is held out, at the high end of its longest axis, and at least one "
        "patch deep; 0 trains on everything and validates nothing.",
    )
    region: RegionSettings | None = Field(
        default=None, description="A box of the first volume, in its own voxels, that is held out instead."
    )
    crops: int = Field(default=8, ge=1, description="Patches judged at each validation; the same ones every time.")


class TrainSettings(Settings):
    """Training of one network on one representation."""

    preset: str = Field(
        default="small", description="Network: small (minutes on two cores), medium, or snemi (anisotropic)."
    )
    iterations: int = Field(default=2000, ge=1, description="Steps of the optimizer, in all.")
    batch: int = Field(default=1, ge=1, description="Patches in one iteration.")
    patch: tuple[Voxels, Voxels, Voxels] | None = Field(
        default=None, description="Voxels (z, y, x) of a training patch; the preset's when not given."
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        description="Batches whose gradients are averaged for one iteration: like a larger batch in less memory, but that batch "
        "normalisation sees each by itself.",
    )
    learning_rate: float = Field(
        default=2e-3, gt=0, description="Highest step size of the optimizer, reached after the warmup."
    )
    warmup: int = Field(
        default=50,
        ge=0,
        description="Iterations in which the learning rate rises; afterwards it goes on as `schedule` says.",
    )
    schedule: ScheduleSettings = Field(
        default=ScheduleSettings(), description="What becomes of the learning rate after the warmup."
    )
    optimizer: OptimizerSettings = Field(
        default=OptimizerSettings(), description="Which optimizer, and what it decays."
    )
    weight_decay: float = Field(default=1e-2, ge=0, description="Decay of the convolutions' weights.")
    gradient_norm: float | None = Field(
        default=1.0, gt=0, description="Gradients longer than this (Euclidean) are shortened to it; null: none are."
    )
    gradient_value: float | None = Field(
        default=None, gt=0, description="Before that, each number of a gradient is cut to this size; null: none is."
    )
    average: AverageSettings = Field(
        default=AverageSettings(), description="Whether the mean over many iterations is saved."
    )
    erosion: int | None = Field(
        default=None,
        ge=0,
        description="Voxels by which labels are drawn back from each other before affinities are computed. When not given: 0 "
        "for volumes whose voxels are known to be isotropic (measured better there), 1 for others (as PyTC trains SNEMI3D).",
    )
    erosion_across_sections: bool = Field(
        default=False, description="Draw labels back along z too, and not only inside sections."
    )
    ignore_zero: bool = Field(
        default=False,
        description="Leave voxels of label 0 out of the loss, instead of teaching that they belong to nothing.",
    )
    dice: float = Field(
        default=0.5, ge=0, description="Weight of the Dice loss beside the cross entropy; 0 leaves it out."
    )
    least_labelled: Probability = Field(
        default=0.05,
        description="Share of a patch that must carry a label; patches with less are drawn again (0 to 1).",
    )
    augment: AugmentSettings = Field(default=AugmentSettings(), description="Changes made to training samples.")
    validation: ValidationSettings = Field(
        default=ValidationSettings(), description="What is held out, and how often it is judged."
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Validations in a row without a lower loss after which training ends early; null: it goes through.",
    )
    checkpoint_every: int = Field(default=500, ge=1, description="Iterations between two checkpoints.")
    keep_checkpoints: int = Field(default=3, ge=1, description="Newest checkpoints kept, beside the best one.")
    start_from: str | None = Field(
        default=None,
        description="Folder of a checkpoint whose weights the training begins with (fine-tuning); None begins anew.",
    )
    seed: int = Field(
        default=0, ge=0, description="Fixes the first weights and every sample; the same seed gives the same network."
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        description="Processor threads for the network; all cores that the process may use when not given.",
    )
    loaders: int = Field(default=1, ge=0, description="Threads that prepare samples ahead; 0 prepares them in between.")
    cache: float = Field(
        default=2.0, ge=0, description="Gigabytes of volumes that are read into memory once, instead of patch by patch."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where the network is computed; 'auto' takes a GPU when there is one."
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.patience is not None and self.validation.region is None and self.validation.fraction == 0:
            raise ValueError("patience counts validations, and validation.fraction 0 holds nothing out to validate on")
        first = self.average.start + self.average.every
        if self.average.kind != "none" and first > self.iterations:
            raise ValueError(f"average would begin at iteration {first}, and there are {self.iterations} iterations")
        return self

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, name: str) -> str:
        try:
            preset(name)
        except PresetError as error:
            raise ValueError(str(error)) from None
        return name
