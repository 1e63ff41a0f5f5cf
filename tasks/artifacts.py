"""Checkpoint state as Prefect artifacts: what is done, shown beside the run that does it.

Keys name the workspace and the stage, so that runs of one workspace write versions of the same artifacts. Pictures stand inside
markdown: an image artifact spills its data over the page.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import httpx
import numpy as np
from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_API_URL

from axonloom.ledger import Ledger, LedgerState
from axonloom.pictures import block_map
from axonloom.stage import StagePlan
from axonloom.workspace import workspace_id
from tasks.server_presence import answers, may_be_lost

#: Seconds between two updates while work goes on.
INTERVAL = 5.0

#: States of a block in :func:`axonloom.pictures.block_map`.
BLOCK_STATES = {"missing": 0, "running": 1, "done": 2, "failed": 3}


def artifact_key(plan: StagePlan, what: str) -> str:
    """A key as Prefect wants it (lower case, digits, dashes), the same for all runs of a workspace."""
    mip = f"-{plan.parameters['mip']}" if "mip" in plan.parameters else ""
    return f"axonloom-{workspace_id(plan.workspace)[:8]}-{plan.stage}{mip}-{what}"


def embedded(png: bytes, caption: str) -> str:
    """A picture as markdown."""
    return f"![{caption}](data:image/png;base64,{base64.b64encode(png).decode()})\n\n{caption}\n"


class _Absence:
    """Whether this process has said that artifacts do not arrive: once, until they do again."""

    told = False


def send(create: Callable[..., Any], *arguments: Any, **named: Any) -> Any | None:
    """Call one of Prefect's artifact functions; returns the artifact's id, None when the server did not take it.

    A server that is away costs one warning, and never the work that is shown.
    """
    url = PREFECT_API_URL.value()
    try:
        if url and not answers(url):
            raise httpx.ConnectError(f"nobody answers at {url}")
        with may_be_lost():
            taken = create(*arguments, **named)
    except (httpx.HTTPError, PrefectException) as error:
        if not _Absence.told:
            _Absence.told = True
            get_run_logger().warning(
                "artifacts are not up to date, because the Prefect server did not take them (%s)", error
            )
        return None
    _Absence.told = False
    return taken


class StageArtifacts:
    """The artifacts of one stage: progress, blocks by state, and a map of the blocks."""

    def __init__(self, plan: StagePlan) -> None:
        self.plan = plan
        self._progress: UUID | None = None
        self._last = 0.0

    def update_from(self, ledger: Ledger) -> None:
        """Read the ledger and update, when the last update is long enough ago."""
        if time.monotonic() - self._last >= INTERVAL:
            self.update(ledger.read())

    def update(self, state: LedgerState, *, force: bool = False) -> None:
        if not force and time.monotonic() - self._last < INTERVAL:
            return
        self._last = time.monotonic()
        plan, total = self.plan, len(self.plan.grid)
        percent = 100.0 * len(state.done) / total
        if self._progress is None:
            self._progress = send(
                create_progress_artifact,
                percent,
                key=artifact_key(plan, "progress"),
                description=f"{plan.stage}: blocks done, percent",
            )
        else:
            # Where the server has lost it, the next update makes another.
            self._progress = send(update_progress_artifact, self._progress, percent)
        send(
            create_table_artifact,
            _block_table(plan, state),
            key=artifact_key(plan, "blocks"),
            description=f"{plan.stage}: blocks by state (fingerprint {plan.fingerprint[:16]})",
        )
        if total > 1:
            send(
                create_markdown_artifact,
                f"# {plan.stage}: {len(state.done)} of {total} blocks done\n\n"
                + embedded(block_map(block_states(plan, state)), "Blocks; one tile a layer of z"),
                key=artifact_key(plan, "map"),
            )


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
