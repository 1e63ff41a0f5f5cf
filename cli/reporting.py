"""``axonloom status``: which blocks are done; ``axonloom report``: the whole run on one page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from axonloom.block_sets import shown
from axonloom.chain import Chain
from axonloom.config.load import ConfigurationError
from axonloom.stage_status import StageStatus, stage_status
from cli.block_text import block_lines, legend, symbols
from cli.options import AsJson, ConfigFile, Overrides
from cli.running import complaints, configuration_of, console, sentences
from cli.submitting import show_runs
from cli.times import duration

_COLOURS = {"done": "green", "running": "blue", "failed": "red", "stale": "yellow"}


def status(
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
    picture: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE.png", help="Write the maps of all stages' blocks as a picture."),
    ] = None,
) -> None:
    """Say for each stage what is done, running, failed, stale and missing. Runs nothing."""
    configuration = configuration_of(config, overrides or [])
    with sentences():
        found = [stage_status(plan) for plan in Chain(configuration).all_stages()]
    if picture is not None:
        _write_picture(picture, found)
    if as_json:
        print(json.dumps([{**status.to_json(), "stage": status.plan.title} for status in found]))
        return
    maps = False
    for status in found:
        _line(status)
        if 0 < status.done < status.total or status.running or status.failed:
            maps = maps or status.total > 1
            _details(status)
        if status.stale is not None:
            console.print(
                f"{'':>14}  stale: {status.stale.fingerprint} has {status.stale.done} of {status.stale.blocks} blocks; "
                + "; ".join(status.stale.differs),
                markup=False,
            )
    if maps:
        console.print(legend(symbols()), markup=False)
    show_runs(configuration.workspace)


def _line(status: StageStatus) -> None:
    words = f"{status.done} of {status.total} blocks done"
    for number, name in ((len(status.running), "running"), (len(status.failed), "failed")):
        words += f", {number} {name}" if number else ""
    if status.megavoxels_per_second and status.seconds_left is not None:
        words += f", {status.megavoxels_per_second:.2f} Mvox/s, {duration(status.seconds_left)} left"
    verdict = status.verdict
    colour = _COLOURS.get(verdict, "dim")
    console.print(f"{status.plan.title:>14}  {status.plan.folder.name}  [{colour}]{verdict:<7}[/]  {words}")


def _details(status: StageStatus) -> None:
    if status.total > 1:
        for line in block_lines(status.blocks, symbols(), coloured=console.color_system is not None):
            console.print(f"{'':>16}{line}")
    for error, blocks in list(status.failed_alike.items())[:10]:
        name = "block" if len(blocks) == 1 else "blocks"
        console.print(f"{'':>14}  {name} {shown(blocks)}: {error}", markup=False)


def _write_picture(path: Path, found: list[StageStatus]) -> None:
    # Only here: pictures need matplotlib's module, which takes a second.
    from axonloom.status_picture import status_picture

    titles = [f"{s.plan.title}: {s.verdict}, {s.done} of {s.total} blocks done" for s in found]
    try:
        path.write_bytes(status_picture([(t, s.blocks) for t, s in zip(titles, found, strict=True)]))
    except OSError as error:
        complaints.print(f"[red]error:[/red] {path} cannot be written ({error.strerror})")
        raise typer.Exit(2) from None
    complaints.print(f"wrote {path}")


def report(
    config: ConfigFile = None,
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE.html", help="Write it there instead of into the workspace, if there is no such file."
        ),
    ] = None,
) -> None:
    """Write the page about a run: pictures, scores, times, failed blocks, settings. Runs nothing.

    Every `axonloom run` leaves it as report.html in the workspace.
    """
    configuration = configuration_of(config, overrides or [])
    with sentences():
        if out is not None and out.exists():
            raise ConfigurationError(f"--out: {out} is there already; name another file")
        # Only here: it draws, which `status` does without.
        from axonloom.report.page import write_report

        path = write_report(Chain(configuration), out)
    console.print(f"wrote {path}", markup=False, soft_wrap=True)
