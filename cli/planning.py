"""``axonloom plan``: what would run."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table

from axonloom.chain import Chain
from axonloom.config.configuration import Configuration
from axonloom.forecast import Forecast, forecast
from axonloom.free_disk import readable
from axonloom.stage import StagePlan
from axonloom.stages.layer_stage import current_state
from cli.options import AsJson, ConfigFile, On, Overrides, with_place
from cli.running import configuration_of, console, sentences
from cli.tables import print_table
from cli.times import duration
from tasks.batches import Cut, batches, cut_of


def plan(config: ConfigFile = None, overrides: Overrides = None, on: On = None, as_json: AsJson = False) -> None:
    """Say what `axonloom run` would do and what it would take: blocks, batches, bytes, memory, time. Touches nothing."""
    configuration = configuration_of(config, with_place(overrides, on))
    with sentences():
        rows = []
        for stage in Chain(configuration).stages():
            cut = cut_of(stage, configuration.compute.on)
            rows.append((stage, forecast(stage, configuration.compute), cut, _open_batches(stage, cut)))
    if as_json:
        print(json.dumps({"stages": [_as_json(*row) for row in rows], **_totals([f for _, f, _, _ in rows])}))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("stage", "to run", "batches", "a block", "reads", "writes", "memory", "time"):
        table.add_column(column, justify="left" if column == "stage" else "right", no_wrap=True)
    for stage, ahead, _, open_batches in rows:
        blocks = f"{ahead.to_run} of {ahead.blocks}"
        if ahead.to_run == 0:
            table.add_row(stage.title, blocks, "0")
            continue
        table.add_row(
            stage.title,
            blocks,
            str(open_batches),
            "unknown" if ahead.block_seconds is None else f"{ahead.block_seconds:.2g} s",
            readable(ahead.bytes_read),
            readable(ahead.bytes_written),
            readable(ahead.memory),
            "unknown" if ahead.seconds is None else duration(ahead.seconds),
        )
    print_table(console, table)
    merging = _merging(configuration, [stage for stage, *_ in rows])
    if merging is not None:
        console.print(f"\n{merging}")
    windows = _windows([stage for stage, *_ in rows])
    if windows is not None:
        console.print(f"\n{windows}" if merging is None else windows)
    _say_totals([ahead for _, ahead, _, _ in rows], sum(row[3] for row in rows))


def _merging(configuration: Configuration, stages: list[StagePlan]) -> str | None:
    """Whether the graph of the whole volume is merged at once or part by part, and why."""
    levels = [stage for stage in stages if stage.stage == "agglomerate"]
    if not levels:
        return None
    megavoxels = levels[-1].grid.region.voxels / 1e6
    why = f"the volume has {megavoxels:.3g} megavoxels, and a part at most {configuration.merge.part:g} (merge.part)"
    if len(levels) == 1:
        return f"merging: the graph of the whole volume at once, for {why}"
    return f"merging: {len(levels[0].grid)} parts on {len(levels)} levels, for {why}; the result is the same"


def _windows(stages: list[StagePlan]) -> str | None:
    """How many windows of the network are computed twice."""
    infer = next((stage for stage in stages if stage.stage == "infer"), None)
    if infer is None:
        return None
    from axonloom.stages.infer import lattice_of

    lattice = lattice_of(infer.grid.region.shape, infer.parameters)
    share = lattice.redundant_share(infer.grid)
    shape = " x ".join(map(str, infer.grid.shape))
    return f"inference: {len(lattice)} windows, computed {share:.2f} times in all, in blocks of {shape} (infer.blocks)"


def _open_batches(stage: StagePlan, cut: Cut) -> int:
    done = current_state(stage).done
    return sum(1 for batch in batches(stage, cut) if done.missing(batch.blocks))


def _as_json(stage: StagePlan, ahead: Forecast, cut: Cut, open_batches: int) -> dict[str, Any]:
    return {
        **ahead.to_json(),
        "stage": stage.title,
        "batches": cut.count,
        "batches_to_run": open_batches,
        "batch_basis": cut.basis,
    }


def _totals(ahead: list[Forecast]) -> dict[str, Any]:
    """Of the whole run; the least free disk is what counts when outputs lie on several."""
    known = [f.seconds for f in ahead]
    return {
        "bytes_read": sum(f.bytes_read for f in ahead),
        "bytes_written": sum(f.bytes_written for f in ahead),
        "free": min((f.free for f in ahead), default=0),
        "memory_per_worker": max((f.memory for f in ahead if f.to_run), default=0),
        "seconds": None if None in known else sum(s for s in known if s is not None),
        "stages_of_unknown_time": list(dict.fromkeys(f.stage for f in ahead if f.seconds is None)),
    }


def _say_totals(ahead: list[Forecast], task_runs: int) -> None:
    totals = _totals(ahead)
    if not any(f.to_run for f in ahead):
        console.print("nothing to run: all blocks are done")
        return
    known = sum(f.seconds for f in ahead if f.seconds is not None)
    missing = totals["stages_of_unknown_time"]
    time = duration(known) if not missing else f"unknown (never measured in this workspace: {', '.join(missing)})"
    room = "" if totals["bytes_written"] <= totals["free"] else ": not enough"
    workers = max(f.workers for f in ahead)
    console.print(
        f"\n{task_runs} task runs; reads {readable(totals['bytes_read'])}, writes {readable(totals['bytes_written'])} "
        f"({readable(totals['free'])} free{room})\n{readable(totals['memory_per_worker'])} of memory for each of {workers} "
        f"workers\ntime: {time}"
    )
