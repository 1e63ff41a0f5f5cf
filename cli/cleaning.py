"""``axonloom clean``: delete what can be computed again."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from axonloom.assembly.segmentation_layer import SegmentationLayer
from axonloom.chain import Chain
from axonloom.cleaning import (
    Deletion,
    delete,
    of_cache,
    of_layer,
    of_other_parameters,
    of_stage,
    require_idle,
)
from axonloom.free_disk import readable
from axonloom.lease import LeaseHeldError, claim
from axonloom.stage import StageError
from cli import exit_codes
from cli.options import AsJson, ConfigFile, Overrides
from cli.running import complaints, configuration_of, console, sentences


def clean(
    config: ConfigFile = None,
    overrides: Overrides = None,
    stage: Annotated[
        list[str] | None,
        typer.Option(
            "--stage", metavar="STAGE", help="What this stage made with the present parameters. Any number of times."
        ),
    ] = None,
    stale: Annotated[bool, typer.Option("--stale", help="What stages made with other parameters.")] = False,
    cache: Annotated[bool, typer.Option("--cache", help="Results of batches that Prefect keeps.")] = False,
    layer: Annotated[
        bool, typer.Option("--layer", help="The segmentation that volumes.segmentation.path names.")
    ] = False,
    break_lease: Annotated[
        bool,
        typer.Option(
            "--break-lease",
            help="Take the stages of --stage (and the layer of --layer) from a run that is gone; deletes nothing.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete what can be computed again, after saying what and how much. Inputs are never touched."""
    chain = Chain(configuration_of(config, overrides or []))
    if not (stage or stale or cache or layer):
        with sentences():
            _overview(chain, as_json)
        return
    if break_lease:
        with sentences():
            _break_leases(chain, stage or [], layer)
        return
    with sentences():
        found: list[Deletion] = []
        for name in stage or []:
            found += of_stage(chain, name)
        found += of_other_parameters(chain) if stale else []
        found += of_layer(chain) if layer else []
        found += of_cache(chain) if cache else []
    # A stage's cached results are named with it, and by --cache.
    found = list({d.path: d for d in found}.values())
    total = sum(d.size for d in found)
    if not as_json:
        _say(found, total)
    if found and not yes and not as_json and not _agreed():
        raise typer.Exit(exit_codes.DONE)
    deleted = bool(found) and (yes or not as_json)
    if deleted:
        with sentences(), ExitStack() as held:
            try:
                require_idle(chain, found, held)
            except LeaseHeldError as error:
                complaints.print(f"[yellow]stopped:[/yellow] {error}", highlight=False)
                raise typer.Exit(exit_codes.RESUMABLE) from None
            for deletion in found:
                delete(deletion)
    if as_json:
        print(json.dumps({"deleted": deleted, "bytes": total, "items": [d.to_json() for d in found]}))
    elif deleted:
        console.print(f"deleted {readable(total)}")


def _overview(chain: Chain, as_json: bool) -> None:
    """What each flag would delete."""
    choices = {f"--stage {name}": of_stage(chain, name) for name in dict.fromkeys(p.stage for p in chain.all_stages())}
    choices |= {
        "--stale": of_other_parameters(chain),
        "--cache": of_cache(chain),
        "--layer": of_layer(chain) if SegmentationLayer.at(chain.layer).marker() else [],
    }
    sizes = {flag: sum(d.size for d in found) for flag, found in choices.items()}
    if as_json:
        print(json.dumps({"deleted": False, "choices": sizes}))
        return
    for flag, size in sizes.items():
        console.print(f"{readable(size):>9}  {flag}")
    console.print("nothing was deleted: name what")


def _agreed() -> bool:
    if not sys.stdin.isatty():
        complaints.print("[red]error:[/red] nobody is there to be asked: add --yes to delete")
        raise typer.Exit(exit_codes.BAD_INPUT)
    return typer.confirm("delete this?", default=False)


def _say(found: list[Deletion], total: int) -> None:
    single = [d for d in found if d.what == "a cached result"]
    for deletion in found:
        if deletion not in single:
            console.print(
                f"{readable(deletion.size):>9}  {deletion.files:>7} files  {deletion.what}: {deletion.path}",
                markup=False,
            )
    if single:
        console.print(f"{readable(sum(d.size for d in single)):>9}  {len(single):>7} files  their cached results")
    console.print(f"{readable(total)} in all" if found else "there is nothing to delete")


def _break_leases(chain: Chain, names: list[str], layer: bool) -> None:
    plans = list(chain.all_stages())
    known = {plan.stage for plan in plans}
    for name in names:
        if name not in known:
            raise StageError(f"this configuration has no stage {name!r}; it has {', '.join(sorted(known))}")
    leases = [plan.lease for plan in plans if plan.stage in names]
    leases += [SegmentationLayer.at(chain.layer).lease] if layer else []
    for lease in leases:
        if lease.exists():
            claim(lease, "broken", break_lease=True).release()
            console.print(f"{lease.with_suffix('')} is free; a run that still holds it stops before its next block")
