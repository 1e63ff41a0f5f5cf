"""What a network is trained to predict, where affinities to the nearest neighbours are not all."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from axonloom.config.settings import Settings

Voxels = Annotated[int, Field(ge=0)]
Parameters = dict[str, Any]


class LossSettings(Settings):
    """One loss of a target."""

    loss: Literal[
        "cross_entropy",
        "probability_cross_entropy",
        "focal",
        "class_cross_entropy",
        "dice",
        "weighted_dice",
        "squared_error",
        "absolute_error",
    ] = Field(description="Which one; class_cross_entropy is for classes, all others for channels of numbers.")
    weight: float = Field(default=1.0, ge=0, description="How much it counts in the sum of all losses.")
    balance: Literal["none", "class", "class_dilated", "border"] = Field(
        default="none",
        description="How much each voxel counts: alike; the rarer of 0 and 1 more (class_dilated: with a rim of a voxel); or gaps "
        "between objects more (border, as for U-Net).",
    )
    parameters: Parameters = Field(
        default={},
        description="Of the loss, such as {power: 2} of dice, {focus: 3} of focal, {slack: 0.02} of cross_entropy.",
    )


class TargetSettings(Settings):
    """One thing that a network predicts for each voxel: some of its channels."""

    kind: Literal[
        "affinity",
        "centred_affinity",
        "foreground",
        "polarity",
        "contour",
        "distance",
        "skeleton_distance",
        "signed_distance",
        "small_objects",
        "flow",
        "semantic",
    ] = Field(description="What of labels becomes the target; see docs/targets.md.")
    parameters: Parameters = Field(
        default={},
        description="Of the kind, such as {offsets: [[1, 0, 0], [0, 9, 0]]} of affinity, {thickness: 2} of contour.",
    )
    erosion: Voxels = Field(
        default=0, description="Voxels by which labels are drawn back from each other first, in sections."
    )
    dilation: Voxels = Field(default=0, description="Voxels by which labels are then grown, in sections.")
    losses: tuple[LossSettings, ...] = Field(
        default=(),
        description="Default: cross_entropy balanced by class and half of dice; squared_error for distances and flows; "
        "class_cross_entropy for classes.",
    )

    @model_validator(mode="after")
    def _possible(self) -> TargetSettings:
        # Only here: it imports torch.
        from axonloom.representations.targets import Targets

        Targets([self.model_dump(mode="json")])
        return self


class RegulariserSettings(Settings):
    """A term that says how predictions go together, whatever the labels are."""

    kind: Literal[
        "decided", "foreground_with_distance", "contour_with_distance", "foreground_with_contour", "apart"
    ] = Field(
        description="decided: probabilities far from 1/2; foreground or contour that agrees with a signed distance; a foreground whose "
        "slope is the contour; apart: two kinds of object that do not overlap (of three channels, the third their union)."
    )
    targets: tuple[Voxels, ...] = Field(
        description="Numbers of the targets that it is about, from 0, in the order of its name."
    )
    weight: float = Field(default=1.0, ge=0, description="How much it counts in the sum of all losses.")
