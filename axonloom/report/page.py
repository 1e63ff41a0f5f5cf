"""A reconstruction on one page of HTML that needs no other file: it can be kept, sent and opened anywhere."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from axonloom.chain import Chain
from axonloom.durable import replacing
from axonloom.pictures import panels
from axonloom.report.facts import ReportFacts, gather
from axonloom.report.sections import Section, in_proportion, segmentation_pictures
from axonloom.stages.inputs import open_volume_input
from axonloom.stages.layer_stage import current_state
from axonloom.volumes import VolumeError

#: The page's name in the workspace.
NAME = "report.html"

_AXES = ("z", "y", "x")


def write_report(chain: Chain, path: Path | None = None) -> Path:
    """Write the page of a chain, complete or not, by default as ``report.html`` of the workspace; a page that is there is replaced.

    Pictures are left out until the segmentation is written, or where their volumes cannot be read.

    Raises
    ------
    BadInputError
        A stage cannot be planned.
    """
    path = path or chain.workspace / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    text = page(chain.workspace.absolute().parent.name, gather(chain), _pictures(chain), time.time())
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def page(name: str, facts: ReportFacts, pictures: list[tuple[str, bytes]], made: float) -> str:
    """The HTML text. ``pictures``: captions and PNG bytes; ``made``: Unix time."""
    # Everything that is filled in is escaped: names of files are the user's.
    environment = Environment(loader=PackageLoader("axonloom.report", "."), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html").render(
        name=name,
        facts=facts,
        rows=_rows(facts),
        pictures=[(caption, base64.b64encode(png).decode()) for caption, png in pictures],
        made=time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(made)),
        seconds=_seconds,
    )


def _pictures(chain: Chain) -> list[tuple[str, bytes]]:
    """The middle sections across z, y and x."""
    shape = chain.fragment.grid.region.shape
    if len(current_state(chain.apply).done) < len(chain.apply.grid):
        return []
    try:
        voxel_size = open_volume_input(chain.fragment.inputs["affinities"], chain.workspace).voxel_size
        found = []
        for axis, name in enumerate(_AXES):
            section = Section.middle(shape, axis)
            pictures, titles = segmentation_pictures(chain, section)
            pictures = [in_proportion(picture, voxel_size, axis) for picture in pictures]
            down, right = (other for other in _AXES if other != name)
            caption = f"{name} = {section.box.origin[axis]} ({down} down, {right} to the right)"
            found.append((caption, panels(pictures, titles)))
        return found
    except VolumeError:
        return []


def _rows(facts: ReportFacts) -> list[dict[str, Any]]:
    """Of the table of scores: the fragments, then every threshold, or the one segmentation where there are none."""
    scores = facts.scores
    if not scores:
        return []
    rows = [_row("none (fragments)", scores, of="fragments_")]
    at = scores.get("at") or {scores.get("method", "segmentation"): scores}
    return rows + [
        _row(name, found, chosen=len(at) == 1 or name == scores.get("threshold")) for name, found in at.items()
    ]


def _row(name: str, scores: Any, of: str = "", chosen: bool = False) -> dict[str, Any]:
    split, merge, error = (scores[f"{of}{key}"] for key in ("voi_split", "voi_merge", "adapted_rand_error"))
    return {"name": name, "split": split, "merge": merge, "error": error, "chosen": chosen}


def _seconds(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
