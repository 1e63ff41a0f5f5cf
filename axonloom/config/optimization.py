"""How a network is fitted: the optimizer, how long its steps are, and the mean over weights."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from axonloom.config.settings import Settings

Share = Annotated[float, Field(ge=0, lt=1)]


class OptimizerSettings(Settings):
    """What turns gradients into steps."""

    name: Literal["adamw", "adam", "sgd"] = Field(
        default="adamw", description="The decay of adam and sgd is part of the gradient."
    )
    momentum: Share = Field(default=0.9, description="Share of the last step that goes on, for sgd.")
    betas: tuple[Share, Share] = Field(
        default=(0.9, 0.999),
        description="Shares of the running means of gradients and of their squares that stay, for adamw and adam.",
    )
    decay_norms: float = Field(
        default=0.0, ge=0, description="Weight decay of the scales and shifts of normalisations."
    )
    decay_biases: float = Field(default=0.0, ge=0, description="Weight decay of the convolutions' biases.")
    bias_rate: float = Field(
        default=1.0, gt=0, description="Learning rate of the convolutions' biases, relative to that of the others."
    )


class ScheduleSettings(Settings):
    """How the learning rate goes on after the warmup."""

    shape: Literal["cosine", "cosine_throughout", "steps", "plateau", "one_cycle", "constant"] = Field(
        default="cosine",
        description="'cosine' falls to 0 from the end of the warmup; 'cosine_throughout' from the first iteration, times the "
        "warmup (as PyTC's WarmupCosineLR); 'steps' falls at given iterations; 'plateau' where the training loss does not; "
        "'one_cycle' rises from a 25th along a cosine for the warmup, and falls to nearly 0.",
    )
    warmup_from: Share | None = Field(
        default=None,
        description="Share of the learning rate at which the warmup begins; not given: the first of `warmup` + 1 equal steps.",
    )
    warmup_constant: bool = Field(default=False, description="Stay at `warmup_from` for the whole warmup.")
    steps: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(), description="Iterations at which 'steps' falls.")
    gamma: float = Field(default=0.1, gt=0, le=1, description="What 'steps' and 'plateau' fall by, each time.")
    patience: int = Field(
        default=1000, ge=1, description="Iterations without a lower running loss after which 'plateau' falls."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.warmup_constant and self.warmup_from is None:
            raise ValueError("warmup_constant needs warmup_from: the share at which the learning rate stays")
        if self.shape == "one_cycle" and self.warmup_from is not None:
            raise ValueError("shape 'one_cycle' begins where it begins: leave warmup_from out")
        if self.shape == "steps" and not self.steps:
            raise ValueError("shape 'steps' needs steps: the iterations at which the learning rate falls")
        return self


class AverageSettings(Settings):
    """The mean over the weights of many iterations, which is then what is validated and saved as the network."""

    kind: Literal["none", "moving", "equal"] = Field(
        default="none",
        description="'moving': an exponential moving average (EMA); 'equal': all count the same (SWA). What batch "
        "normalisation has seen is averaged with the weights.",
    )
    decay: Share = Field(
        default=0.999, description="Of 'moving': what is left of the average at each update, once there were many."
    )
    start: int = Field(default=0, ge=0, description="Iterations before; the first update is `every` iterations later.")
    every: int = Field(default=1, ge=1, description="Iterations between two updates.")
