"""In what two plans of one stage differ, in words: why the result of the one is not that of the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from axonloom.stage import StagePlan

#: Where a stage's parameter is set, when that is not the section of the stage's own name.
_KEYS = {
    ("fragment", "low"): "segment.low",
    ("fragment", "high"): "segment.high",
    ("fragment", "smoothing"): "segment.smoothing",
    ("waterz", "low"): "segment.low",
    ("waterz", "high"): "segment.high",
    ("waterz", "score"): "segment.waterz.score",
    ("waterz", "threshold"): "segment.waterz.threshold",
    ("waterz", "per_section"): "segment.waterz.per_section",
    ("mutex", "low"): "segment.low",
    ("stitch", "measure"): "merge.overlap.measure",
    ("stitch", "minimum"): "merge.overlap.minimum",
    ("join", "high"): "segment.high",
    ("fragment", "absorb"): "segment.absorb",
    ("graph", "absorb"): "segment.absorb",
    ("graph", "low"): "segment.low",
    ("fragment", "histograms"): "histograms (of merge.score)",
    ("join", "histograms"): "histograms (of merge.score)",
    ("agglomerate", "scoring"): "merge.score",
    ("agglomerate", "lowest"): "merge.lowest",
    ("agglomerate", "absorb"): "segment.absorb",
    ("agglomerate", "low"): "segment.low",
    ("multicut", "beta"): "merge.multicut.beta",
    ("multicut", "weight"): "merge.multicut.weight",
    ("multicut", "solver"): "the solver",
    ("pool", "threshold"): "merge.threshold",
    ("pool", "dust"): "merge.dust",
    ("pool", "dust_lowest"): "merge.dust_lowest",
    ("pool", "discard"): "merge.discard",
    ("apply", "layer"): "volumes.segmentation.path",
    ("apply", "chunk"): "volumes.segmentation.chunk",
    ("segments", "layer"): "volumes.segmentation.path",
    ("pyramid", "layer"): "volumes.segmentation.path",
}
#: Kept as uint8.
_OF_255 = {
    ("fragment", "low"),
    ("fragment", "high"),
    ("graph", "low"),
    ("agglomerate", "low"),
    ("join", "high"),
    ("mutex", "low"),
}


def differences(old: StagePlan, new: StagePlan) -> Iterator[str]:
    """Phrases, one a difference, from ``old`` to ``new``: ``merge.threshold was 0.5, is 0.6``."""
    if old.version != new.version:
        yield f"version of {new.stage} was {old.version}, is {new.version}"
    for key in sorted({*old.parameters, *new.parameters}):
        before, now = _plain(old.parameters.get(key)), _plain(new.parameters.get(key))
        if before != now:
            scale = " (of 255)" if (new.stage, key) in _OF_255 else ""
            yield f"{_KEYS.get((new.stage, key), f'{new.stage}.{key}')} was {before}, is {now}{scale}"
    if old.grid.shape != new.grid.shape and len(new.grid) + len(old.grid) > 2:
        key = {"infer": "infer.blocks", "agglomerate": "the size of its parts"}.get(new.stage, "blocks.shape")
        yield f"{key} was {_plain(old.grid.shape)}, is {_plain(new.grid.shape)}"
    if old.grid.region != new.grid.region:
        yield f"the volume was {old.grid.region}, is {new.grid.region}"
    # A halo follows from parameters and version; it is worth a word only where those say nothing.
    if old.grid.halo != new.grid.halo and old.parameters == new.parameters and old.version == new.version:
        yield f"halo was {_plain(old.grid.halo)}, is {_plain(new.grid.halo)}"
    for name in sorted({*old.inputs, *new.inputs}):
        yield from _input_differences(name, old.inputs.get(name), new.inputs.get(name))


def _input_differences(name: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterator[str]:
    if old is None or new is None:
        yield f"{name} was {'not ' if old is None else ''}given, is {'not ' if new is None else ''}given"
    elif old["identity"] != new["identity"]:
        if new["kind"] == "stage" and old["kind"] == "stage":
            yield f"its input {new['stage'].split('/')[0]} is another"
        elif new["kind"] != old["kind"]:
            yield f"{name} came from {_origin(old)}, comes from {_origin(new)}"
        else:
            changed = ", ".join(_changed(old["identity"], new["identity"])) or "identity"
            yield f"{name} is another ({changed})"


def _origin(given: Mapping[str, Any]) -> str:
    return f"the {given['stage'].split('/')[0]} stage" if given["kind"] == "stage" else f"a {given['kind']}"


def _changed(old: Any, new: Any, prefix: str = "") -> Iterator[str]:
    """Names of the leaves that differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _changed(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else str(key))
    elif old != new:
        yield prefix or "content"


def _plain(value: Any) -> Any:
    return "not set" if value is None else list(value) if isinstance(value, tuple) else value
