"""``axonloom verify``: is what is called done really there."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from axonloom.block_sets import shown
from axonloom.chain import Chain
from axonloom.cleaning import hold_stages
from axonloom.lease import LeaseHeldError
from axonloom.stage import PLAN, StageError, StagePlan
from axonloom.stages.layer_stage import current_state
from axonloom.verify import Damage, repair, verify_stage
from cli import exit_codes
from cli.bars import bars
from cli.options import AsJson, ConfigFile, Overrides
from cli.running import complaints, configuration_of, console, sentences


def verify(
    config: ConfigFile = None,
    overrides: Overrides = None,
    stage: Annotated[
        list[str] | None, typer.Option("--stage", metavar="STAGE", help="Only this stage. Any number of times.")
    ] = None,
    mend: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Count damaged blocks, and what was made from them, as not done: the next run computes them.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read again what all done blocks left, and compare it with the checksums noted then. Exit code 1 when some is damaged."""
    configuration = configuration_of(config, overrides or [])
    with sentences():
        chain = Chain(configuration)
        plans = _chosen(chain, stage or [])
        rows = [_look(plan, configuration.compute.workers) for plan in plans if (plan.folder / PLAN).exists()]
    damaged = [row for row in rows if row["damages"]]
    undone: dict[Path, list[int]] = {}
    if mend and damaged:
        with _not_while_running(chain):
            for row in damaged:
                for folder, blocks in repair(row["plan"], row["damages"]).items():
                    undone[folder] = sorted({*undone.get(folder, []), *blocks})
    if as_json:
        print(
            json.dumps({"stages": [_as_json(row) for row in rows], "repaired": {str(f): b for f, b in undone.items()}})
        )
    else:
        for row in rows:
            _say(row)
        for folder, blocks in undone.items():
            console.print(f"not done any more: {folder.parent.name} {folder.name}: blocks {shown(blocks)}")
        if undone:
            console.print("run again to compute them")
        elif damaged:
            console.print("`axonloom verify --repair` makes the next run compute them again")
    if damaged and not mend:
        raise typer.Exit(exit_codes.SOME_BLOCKS_FAILED)


def _chosen(chain: Chain, names: list[str]) -> list[StagePlan]:
    plans = list(chain.all_stages())
    known = {plan.stage for plan in plans}
    for name in names:
        if name not in known:
            raise StageError(f"this configuration has no stage {name!r}; it has {', '.join(sorted(known))}")
    return [plan for plan in plans if not names or plan.stage in names]


def _look(plan: StagePlan, threads: int) -> dict[str, Any]:
    row: dict[str, Any] = {"plan": plan, "verified": 0, "without_checksum": 0, "damages": []}
    with bars(complaints) as shown_bars:
        bar = shown_bars.add_task(f"verify {plan.title}", total=len(current_state(plan).done), facts="")
        for verdict in verify_stage(plan, threads):
            row["verified"] += 1
            row["without_checksum"] += not verdict.compared
            if verdict.damage is not None:
                row["damages"].append(verdict.damage)
            shown_bars.update(bar, advance=1, facts=f"{len(row['damages'])} damaged" if row["damages"] else "")
    return row


def _not_while_running(chain: Chain) -> ExitStack:
    """Hold all stages, so that no run reads what is being taken back."""
    held = ExitStack()
    try:
        hold_stages(chain, held)
    except LeaseHeldError as error:
        held.close()
        complaints.print(f"[yellow]stopped:[/yellow] {error}", highlight=False)
        raise typer.Exit(exit_codes.RESUMABLE) from None
    return held


def _as_json(row: dict[str, Any]) -> dict[str, Any]:
    damages: list[Damage] = row["damages"]
    return {
        "stage": row["plan"].title,
        "fingerprint": row["plan"].folder.name,
        "verified": row["verified"],
        "without_checksum": row["without_checksum"],
        "damaged": [{"block": d.block, "what": d.what, "silent": d.silent} for d in damages],
    }


def _say(row: dict[str, Any]) -> None:
    plan, damages = row["plan"], row["damages"]
    older = f" ({row['without_checksum']} without a checksum: only read)" if row["without_checksum"] else ""
    verdict = f"[red]{len(damages)} damaged[/red]" if damages else "all good"
    console.print(f"{plan.title:>14}  {plan.folder.name}  {row['verified']} done blocks: {verdict}{older}")
    for damage in damages[:10]:
        console.print(f"{'':>14}  block {damage.block}: {damage.what}", markup=False)
    if len(damages) > 10:
        console.print(f"{'':>14}  and blocks {shown(d.block for d in damages[10:])}", markup=False)
