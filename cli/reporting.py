"""``axonloom status``: which blocks are done."""

from __future__ import annotations

import json
from typing import Any

from axonloom.chain import Chain
from axonloom.stage import StagePlan
from axonloom.stages.layer_stage import current_state
from cli.options import AsJson, ConfigFile, Overrides
from cli.progress import title
from cli.running import configuration_of, console, sentences


def status(config: ConfigFile = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Say for each stage of a configuration what is done, failed and missing. Runs nothing."""
    configuration = configuration_of(config, overrides or [])
    with sentences():
        rows = [_row(plan) for plan in Chain(configuration).stages()]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        state = "done" if row["done"] == row["blocks"] else f"{row['done']} of {row['blocks']} blocks done"
        failed = f", {row['failed']} failed" if row["failed"] else ""
        console.print(f"{row['stage']:>12}  {row['fingerprint']}  {state}{failed}")
        for block, error in row["errors"].items():
            console.print(f"{'':>12}  block {block}: {error}", markup=False)


def _row(plan: StagePlan) -> dict[str, Any]:
    state = current_state(plan)
    return {
        "stage": title(plan),
        "fingerprint": plan.fingerprint[:16],
        "blocks": len(plan.grid),
        "done": len(state.done),
        "failed": len(state.failed),
        "errors": {b: trace.strip().splitlines()[-1] for b, trace in list(state.failed.items())[:10] if trace.strip()},
        "seconds": round(state.seconds, 3),
    }
