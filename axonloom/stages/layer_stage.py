"""What the stages that write the user's segmentation share: the layer, and the right to write it."""

from __future__ import annotations

import json
import shutil
from functools import cached_property

from axonloom.assembly.segmentation_layer import SegmentationLayer
from axonloom.durable import write_json
from axonloom.lease import Lease, require_token
from axonloom.stage import Stage

LEASE = "lease.json"
CREATION = "layer.json"


class LayerStage(Stage):
    """A stage whose blocks go into the layer that its plan names."""

    @cached_property
    def layer(self) -> SegmentationLayer:
        return SegmentationLayer.at(self.plan.parameters["layer"])

    def hold(self, lease: Lease) -> None:
        """Note under which claim this stage may write; its blocks check it."""
        write_json(self.plan.folder / LEASE, {"path": str(lease.path), "token": lease.token})

    def permit(self) -> None:
        held = json.loads((self.plan.folder / LEASE).read_text())
        require_token(self.layer.lease, held["token"])

    def bind(self) -> None:
        """Forget what the ledger says of a layer that has been deleted or replaced since."""
        note = self.plan.folder / CREATION
        creation = self.layer.creation()
        known = json.loads(note.read_text())["creation"] if note.exists() else None
        if known != creation:
            shutil.rmtree(self.plan.ledger.folder, ignore_errors=True)
            write_json(note, {"creation": creation})
