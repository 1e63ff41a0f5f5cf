"""What a training run can be told."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from axonloom.config.augment import AugmentSettings
from axonloom.config.network import NetworkSettings
from axonloom.config.optimization import AverageSettings, OptimizerSettings, ScheduleSettings
from axonloom.config.scoring import ScoringSettings
from axonloom.config.settings import Settings
from axonloom.config.targets import RegulariserSettings, TargetSettings
from axonloom.config.training_volumes import TrainingVolumeSettings, ValidationVolumeSettings
from axonloom.config.volumes import RegionSettings, VolumeSettings
from axonloom.networks.presets import PresetError, preset

Voxels = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


class ValidationSettings(Settings):
    """The part of the data that is kept from training and judged now and then."""

    every: int = Field(default=200, ge=1, description="Iterations between two validations.")
    fraction: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="Share of each volume's extent that is held out, at the high end of its longest axis, and at least one "
        "patch deep; 0 trains on everything and holds nothing of it out, as where validation.volumes are given and this is not.",
    )
    region: RegionSettings | None = Field(
        default=None, description="A box of the first volume, in its own voxels, that is held out instead."
    )
    volumes: tuple[ValidationVolumeSettings, ...] = Field(
        default=(), description="Whole images with labels that are validated on, and never trained on."
    )
    crops: int = Field(default=8, ge=1, description="Patches judged at each validation; the same ones every time.")

    @model_validator(mode="before")
    @classmethod
    def _either(cls, given: Any) -> Any:
        # Who brings volumes to validate on wants to train on the others whole.
        if isinstance(given, dict) and given.get("volumes") and "fraction" not in given:
            return {**given, "fraction": 0.0}
        return given


class TrainSettings(Settings):
    """Training of one network on one representation."""

    preset: str = Field(
        default="small", description="Network: small (minutes on two cores), medium, or snemi (anisotropic)."
    )
    network: NetworkSettings | None = Field(
        default=None, description="A network of your own instead of the preset's; it needs train.patch."
    )
    volumes: tuple[TrainingVolumeSettings, ...] = Field(
        default=(), description="More images with labels, beside volumes.image and volumes.labels where these are set."
    )
    valid: VolumeSettings | None = Field(
        default=None,
        description="Nonzero where volumes.labels are right, in their shape; elsewhere nothing is learned. Default: everywhere.",
    )
    least_valid: Probability = Field(
        default=0.5, description="Share of a patch that must be valid; patches with less are drawn again (0 to 1)."
    )
    iterations: int = Field(default=2000, ge=1, description="Steps of the optimizer, in all.")
    batch: int = Field(default=1, ge=1, description="Patches in one iteration.")
    patch: tuple[Voxels, Voxels, Voxels] | None = Field(
        default=None, description="Voxels (z, y, x) of a training patch; the preset's when not given."
    )
    window: tuple[Voxels, Voxels, Voxels] | None = Field(
        default=None,
        description="Voxels (z, y, x) that the checkpoint proposes for inference; the preset's when not given, the patch with train.network.",
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
    targets: tuple[TargetSettings, ...] = Field(
        default=(),
        description="What the network predicts, channel after channel; when not given: affinities to the neighbours before along z, y and "
        "x, with erosion, ignore_zero and dice as below.",
    )
    regularisers: tuple[RegulariserSettings, ...] = Field(
        default=(), description="Terms beside the losses of train.targets, of several predictions of one voxel."
    )
    pytc_compat: bool = Field(
        default=False,
        description="With train.targets: weigh voxels under a valid mask as PyTorch Connectomics does, its mistakes included, to repeat "
        "old results (see docs/targets.md).",
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
    best_by: Literal["loss", "voi", "adapted_rand"] = Field(
        default="loss",
        description="What makes a checkpoint the best: the lowest loss on what is held out; or the lowest VOI (bits) or adapted Rand error "
        "of its segmentation at the best threshold, for networks that predict affinities.",
    )
    scoring: ScoringSettings = Field(
        default=ScoringSettings(), description="How that segmentation is made; without meaning for best_by loss."
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Validations (or scorings, see best_by) in a row without a better figure after which training ends early; null: it "
        "goes through.",
    )
    checkpoint_every: int = Field(default=500, ge=1, description="Iterations between two checkpoints.")
    keep_checkpoints: int = Field(default=3, ge=1, description="Newest checkpoints kept, beside the best one.")
    start_from: str | None = Field(
        default=None,
        description="Folder of a checkpoint, or model:NAME of a registered model, whose weights the training begins with (fine-tuning); "
        "None begins anew.",
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
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32",
        description="Arithmetic of the network; losses, gradients' sums and weights stay float32. bfloat16 and float16 (a GPU's, with "
        "scaled losses) are faster on recent GPUs.",
    )
    tensorboard: bool | None = Field(
        default=None,
        description="Whether checkpoints/tensorboard in the workspace gets what TensorBoard shows; when not given: if that package is installed.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="Where the network is computed; 'auto' takes a GPU when there is one."
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        held_out = any(volume.held_out is not None for volume in self.volumes)
        validation = self.validation
        if validation.region is None and validation.fraction == 0 and not validation.volumes and not held_out:
            if self.patience is not None:
                raise ValueError(
                    "patience counts validations, and validation.fraction 0 holds nothing out to validate on"
                )
            if self.best_by != "loss":
                raise ValueError(
                    f"best_by {self.best_by} scores what is held out, and validation.fraction 0 holds nothing out: set "
                    "validation.volumes or validation.region, or use best_by loss"
                )
        fields = type(self).model_fields
        alone = ("erosion", "erosion_across_sections", "ignore_zero", "dice")
        given = [name for name in alone if getattr(self, name) != fields[name].default]
        if self.targets and given:
            raise ValueError(f"{' and '.join(given)}: for affinities alone; with train.targets say it there")
        paste = self.augment.copy_paste
        if paste.share > 0 and paste.new_ids:
            for target in self.targets:
                if target.kind == "semantic" or target.parameters.get("ids"):
                    raise ValueError(
                        f"augment.copy_paste gives pasted objects new numbers, and those of {target.kind} mean something: set "
                        "augment.copy_paste.new_ids to false"
                    )
        if self.pytc_compat and not self.targets:
            raise ValueError("train.pytc_compat is about the weights of train.targets, which are not set")
        if self.regularisers and not self.targets:
            raise ValueError("train.regularisers are about train.targets, which are not set")
        if self.network is not None and self.patch is None:
            raise ValueError("train.network needs train.patch: the voxels (z, y, x) that it is trained on at once")
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
