"""How training samples are changed, so that the network learns what does not matter."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from axonloom.config.settings import Settings

Probability = Annotated[float, Field(ge=0, le=1)]
Voxels = Annotated[int, Field(ge=1)]
SHARE = "Share of samples that are changed so (0 to 1)."


class RotateSettings(Settings):
    """Turned inside sections by any angle; right angles are flip and transpose."""

    share: Probability = Field(default=0.0, description=SHARE)
    degrees: float = Field(default=180.0, gt=0, le=180, description="Largest angle, in either direction.")


class RescaleSettings(Settings):
    """Stretched or shrunk inside sections."""

    share: Probability = Field(default=0.0, description=SHARE)
    low: float = Field(default=0.8, gt=0, le=1, description="Smallest size, relative to what it was.")
    high: float = Field(default=1.25, ge=1, description="Largest size, relative to what it was.")
    keep_aspect: bool = Field(default=False, description="Let y and x grow alike.")


class ElasticSettings(Settings):
    """Bent inside sections, all sections alike (Simard et al. 2003)."""

    share: Probability = Field(default=0.0, description=SHARE)
    strength: float = Field(
        default=16.0, gt=0, description="What the smoothed noise of -1 to 1 is multiplied by: voxels, at most."
    )
    smoothness: float = Field(default=4.0, gt=0, description="Sigma (voxels) of the Gaussian that smooths the noise.")


class MissingSectionSettings(Settings):
    """Sections taken out, as if they had been lost."""

    share: Probability = Field(default=0.0, description=SHARE)
    sections: Voxels = Field(default=2, description="How many are taken out of a sample, never its first or last.")


class MisalignmentSettings(Settings):
    """Sections shifted or turned against those before."""

    share: Probability = Field(default=0.0, description=SHARE)
    displacement: Voxels = Field(default=16, description="Largest shift along y and x, in voxels.")
    rotate: Probability = Field(
        default=0.5, description="Share of these samples whose sections are turned instead of shifted (0 to 1)."
    )


class MissingPartsSettings(Settings):
    """A band across a section covered, as by a fold."""

    share: Probability = Field(default=0.0, description=SHARE)
    sections: Probability = Field(
        default=0.1, description="Share of their sections that are covered (0 to 1), no two in a row."
    )
    width: Voxels = Field(default=64, description="Largest width of the band, in voxels.")


class MotionBlurSettings(Settings):
    """Sections blurred along y or x."""

    share: Probability = Field(default=0.0, description=SHARE)
    sections: Voxels = Field(default=2, description="How many sections of a sample are blurred.")
    length: Voxels = Field(default=11, description="Voxels over which it is blurred.")


class CutBlurSettings(Settings):
    """A part at lower resolution (Yoo et al. 2020)."""

    share: Probability = Field(default=0.0, description=SHARE)
    size: float = Field(
        default=0.4, gt=0, le=1, description="Largest size of the part along each axis, relative to the patch."
    )
    low: float = Field(default=2.0, ge=1, description="Smallest factor by which it is coarser.")
    high: float = Field(default=8.0, ge=1, description="Largest factor by which it is coarser.")
    across_sections: bool = Field(default=False, description="Coarser along z too.")


class CutNoiseSettings(Settings):
    """A part with noise."""

    share: Probability = Field(default=0.0, description=SHARE)
    size: float = Field(
        default=0.4, gt=0, le=1, description="Largest size of the part along each axis, relative to the patch."
    )
    strength: float = Field(
        default=0.3, gt=0, le=1, description="Largest change of grey levels, as a fraction of half the grey range."
    )


class CopyPasteSettings(Settings):
    """Objects once more in the background, turned (Ghiasi et al. 2021); labels follow."""

    share: Probability = Field(default=0.0, description=SHARE)
    largest: float = Field(
        default=0.7, gt=0, le=1, description="Samples of which a larger share belongs to objects stay as they are."
    )
    gap: int = Field(default=3, ge=0, description="Voxels that stay free around objects that are there already.")
    new_ids: bool = Field(
        default=True,
        description="Pasted objects are objects of their own; false where labels are classes (semantic), which stay what they are.",
    )


class MixUpSettings(Settings):
    """Another sample in the image (Zhang et al. 2018)."""

    share: Probability = Field(default=0.0, description=SHARE)
    low: float = Field(default=0.7, ge=0.5, le=1, description="Least share of the image that is the sample's own.")
    high: float = Field(default=0.9, ge=0.5, le=1, description="Largest share of the image that is the sample's own.")
    targets: Literal["both", "stronger"] = Field(
        default="both",
        description="What counts as right: the targets of both, each as much as its image; or those of the stronger image alone, the "
        "other being noise, as in PyTorch Connectomics.",
    )


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
    rotate: RotateSettings = Field(default=RotateSettings(), description="Turned by any angle.")
    rescale: RescaleSettings = Field(default=RescaleSettings(), description="Another size.")
    elastic: ElasticSettings = Field(default=ElasticSettings(), description="Bent.")
    missing_section: MissingSectionSettings = Field(default=MissingSectionSettings(), description="Sections lost.")
    misalignment: MisalignmentSettings = Field(default=MisalignmentSettings(), description="Sections that do not fit.")
    missing_parts: MissingPartsSettings = Field(default=MissingPartsSettings(), description="Folds.")
    motion_blur: MotionBlurSettings = Field(default=MotionBlurSettings(), description="Sections that moved.")
    cut_blur: CutBlurSettings = Field(default=CutBlurSettings(), description="A part out of focus.")
    cut_noise: CutNoiseSettings = Field(default=CutNoiseSettings(), description="A noisy part.")
    copy_paste: CopyPasteSettings = Field(default=CopyPasteSettings(), description="Objects once more.")
    mix_up: MixUpSettings = Field(default=MixUpSettings(), description="Two samples in one.")

    @model_validator(mode="after")
    def _ordered(self) -> AugmentSettings:
        if self.cut_blur.low > self.cut_blur.high:
            raise ValueError(
                f"cut_blur.low ({self.cut_blur.low}) must not be above cut_blur.high ({self.cut_blur.high})"
            )
        if self.mix_up.low > self.mix_up.high:
            raise ValueError(f"mix_up.low ({self.mix_up.low}) must not be above mix_up.high ({self.mix_up.high})")
        return self
