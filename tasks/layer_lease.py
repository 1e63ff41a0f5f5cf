"""The right to write the user's layer, for the time of a flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prefect import get_run_logger

from axonloom.lease import holding
from axonloom.stage import StagePlan
from axonloom.stages.layer_stage import LayerStage
from axonloom.stages.registry import open_stage


@contextmanager
def holding_layer(writing: Sequence[StagePlan]) -> Iterator[None]:
    """Claim the layer that ``apply``, the first of these stages, and the others fill; their blocks check the claim.

    Raises
    ------
    LeaseHeldError
        Another run writes it.
    StageError
        Something lies there that this workspace did not make.
    """
    stages = []
    for plan in writing:
        plan.save()
        stage = open_stage(plan.folder)
        assert isinstance(stage, LayerStage)
        stages.append(stage)
    apply, first = writing[0], stages[0]
    with holding(first.layer.lease, apply.fingerprint) as lease:
        replaced = first.layer.replaces(apply.fingerprint, apply.workspace)
        if replaced:
            get_run_logger().warning(replaced)
        for stage in stages:
            stage.hold(lease)
        yield
