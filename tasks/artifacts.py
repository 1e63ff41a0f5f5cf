"""Checkpoint state as Prefect artifacts: what is done, shown beside the run that does it.

Keys name the workspace and the stage, so that runs of one workspace write versions of the same artifacts. Pictures stand inside
markdown: an image artifact spills its data over the page.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from axonloom.ledger import Ledger, LedgerState
from axonloom.pictures import block_map
from axonloom.stage import StagePlan
from axonloom.workspace import workspace_id
from tasks.sending import LiveArtifact, send

#: Seconds between two updates while work goes on.
INTERVAL = 5.0

#: States of a block in :func:`axonloom.pictures.block_map`.
BLOCK_STATES = {"missing": 0, "running": 1, "done": 2, "failed": 3}


def artifact_key(plan: StagePlan, what: str) -> str:
    """A key as Prefect wants it (lower case, digits, dashes), the same for all runs of a workspace."""
    return f"axonloom-{workspace_id(plan.workspace)[:8]}-{plan.title.replace(' ', '-')}-{what}"


def embedded(png: bytes, caption: str) -> str:
    """A picture as markdown."""
    return f"![{caption}](data:image/png;base64,{base64.b64encode(png).decode()})\n\n{caption}\n"


class StageArtifacts:
    """The artifacts of one stage: progress, blocks by state, and a map of the blocks."""

    def __init__(self, plan: StagePlan) -> None:
        self.plan = plan
        self._last = 0.0
        self._progress = LiveArtifact(artifact_key(plan, "progress"), f"{plan.stage}: blocks done, percent")
        self._blocks = LiveArtifact(
            artifact_key(plan, "blocks"), f"{plan.stage}: blocks by state (fingerprint {plan.fingerprint[:16]})"
        )
        self._map = LiveArtifact(artifact_key(plan, "map"))

    def update_from(self, ledger: Ledger) -> None:
        """Read the ledger and update, when the last update is long enough ago."""
        if time.monotonic() - self._last >= INTERVAL:
            self.update(ledger.read())

    def update(self, state: LedgerState, *, force: bool = False) -> None:
        if not force and time.monotonic() - self._last < INTERVAL:
            return
        self._last = time.monotonic()
        plan, total = self.plan, len(self.plan.grid)
        self._progress.show(100.0 * len(state.done) / total)
        self._blocks.show(_block_table(plan, state))
        if total > 1:
            picture = embedded(block_map(block_states(plan, state)), "Blocks; one tile a layer of z")
            self._map.show(f"# {plan.stage}: {len(state.done)} of {total} blocks done\n\n{picture}")


def block_states(plan: StagePlan, state: LedgerState) -> np.ndarray:
    """State of each block as uint8 (z, y, x) in :data:`BLOCK_STATES`; begun and not ended counts as running."""
    states = np.zeros(len(plan.grid), np.uint8)
    for number, blocks in (
        (BLOCK_STATES["running"], state.started),
        (BLOCK_STATES["failed"], state.failed),
        (BLOCK_STATES["done"], state.done),
    ):
        chosen = [b for b in blocks if b < len(states)]
        states[chosen] = number
    return states.reshape(plan.grid.counts)


def _block_table(plan: StagePlan, state: LedgerState) -> list[dict[str, Any]]:
    total, done, failed = len(plan.grid), len(state.done), len(state.failed)
    running = len([b for b in state.started if b not in state.done and b not in state.failed])
    counts = (("done", done), ("failed", failed), ("begun", running), ("missing", total - done - failed - running))
    rows: list[dict[str, Any]] = [
        {"state": name, "blocks": n, "share": f"{100 * n / total:.1f} %", "note": ""} for name, n in counts
    ]
    for block, trace in sorted(state.failed.items())[:20]:
        note = trace.strip().splitlines()[-1] if trace.strip() else ""
        rows.append({"state": "failed", "blocks": f"block {block}", "share": "", "note": note})
    return rows


def show_markdown(plan: StagePlan, what: str, text: str) -> None:
    """A page of text and pictures about a stage."""
    send(create_markdown_artifact, text, key=artifact_key(plan, what))


def show_table(plan: StagePlan, what: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """A table about a stage."""
    send(create_table_artifact, [dict(row) for row in rows], key=artifact_key(plan, what), description=description)
