"""What the stages that write the user's segmentation share: the layer, and the right to write it."""

from __future__ import annotations

import json

from axonloom.assembly.segmentation_layer import SegmentationLayer
from axonloom.durable import write_json
from axonloom.lazy import lazy
from axonloom.lease import Lease, require_claim
from axonloom.ledger import LedgerState
from axonloom.stage import Stage, StagePlan
from axonloom.workspace import placed

FORMAT_VERSION = 1
LEASE = "lease.json"
CREATION = "layer.json"


class LayerStage(Stage):
    """A stage whose blocks go into the layer that its plan names."""

    @lazy
    def layer(self) -> SegmentationLayer:
        return layer_of(self.plan)

    def hold(self, lease: Lease) -> None:
        """Note under which claim this stage may write; its blocks check it."""
        write_json(
            self.plan.folder / LEASE,
            {"format_version": FORMAT_VERSION, "path": str(lease.path), "claim_id": lease.claim_id},
        )

    def permit(self) -> None:
        held = json.loads((self.plan.folder / LEASE).read_text())
        require_claim(self.layer.lease, held["claim_id"])

    def bind(self) -> None:
        """Forget what the ledger says of a layer that has been deleted or replaced since."""
        creation = self.layer.creation()
        if _noted_creation(self.plan) != creation:
            self.plan.ledger.void()
            write_json(self.plan.folder / CREATION, {"format_version": FORMAT_VERSION, "creation": creation})


def layer_of(plan: StagePlan) -> SegmentationLayer:
    """The layer that a plan names, where it lies now."""
    return SegmentationLayer.at(placed(plan.parameters["layer"], plan.workspace))


def require_own_layer(plan: StagePlan) -> None:
    """Raises StageError where the layer of ``plan`` may not be written: something lies there that this workspace did not make."""
    layer_of(plan).replaces(plan.fingerprint, plan.workspace)


def current_state(plan: StagePlan) -> LedgerState:
    """What is done of a stage, as it stands now: nothing where its layer was deleted or replaced since."""
    if "layer" in plan.parameters:
        marker = layer_of(plan).marker()
        if marker is None or marker["creation"] != _noted_creation(plan):
            return LedgerState()
    return plan.ledger.read()


def _noted_creation(plan: StagePlan) -> str | None:
    """The creation of the layer that the ledger of ``plan`` speaks of."""
    note = plan.folder / CREATION
    return json.loads(note.read_text())["creation"] if note.exists() else None
