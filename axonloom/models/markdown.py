"""A model card as Markdown: what `axonloom models info` prints, and the README of an exported model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from axonloom.models.card import ModelCard

NOT_STATED = "not stated"


def as_markdown(card: ModelCard) -> str:
    """The whole card; ends with a line break."""
    return "\n".join(_lines(card)) + "\n"


def _lines(card: ModelCard) -> Iterator[str]:
    yield f"# {card.name}"
    yield ""
    if card.description:
        yield from (card.description, "")
    yield from _table(
        ("licence", card.licence),
        ("network", f"{card.network.architecture}, {card.network.weights:,} weights"),
        ("predicts", f"{card.output.representation}: {', '.join(card.output.channels)}"),
        ("voxel size (z, y, x)", _times(card.images.voxel_size, " nm")),
        ("images", _images(card)),
        ("patch, window (z, y, x)", f"{_times(card.network.patch)}, {_times(card.network.window)} voxels"),
        ("registered", card.registered),
        ("identity", f"`{card.identity}`"),
    )
    yield from ("", "## Training", "")
    training = card.training
    best = training.best_validation_loss
    yield from _table(
        ("iterations", training.iterations),
        ("loss, running mean", _number(training.running_loss)),
        ("validation loss", _number(training.validation_loss)),
        (
            "lowest validation loss",
            None if best is None else f"{_number(best)} after {training.best_iteration} iterations",
        ),
        ("software", ", ".join(f"{name} {version}" for name, version in training.software.items())),
    )
    yield from ("", "Data:" if training.data else f"Data: {NOT_STATED}.")
    for volume in training.data or []:
        rest = ", ".join(
            f"{name.replace('_', ' ')} {_text(value)}"
            for name, value in volume.items()
            if name not in ("image", "labels")
        )
        yield from ("", f"- `{volume['image']}` with labels `{volume['labels']}` ({rest})")
    if card.scores:
        yield from ("", "## Scores", "")
        yield from _table(*((name, _number(value)) for name, value in card.scores.items()))
    yield from ("", "## Network", "")
    yield from _table(*((name, _text(value)) for name, value in card.network.parameters.items()))
    yield from ("", "## Files (sha256)", "")
    yield from _table(*((f"`{name}`", f"`{sha256}`") for name, sha256 in card.files.items()))


def _images(card: ModelCard) -> str:
    images = card.images
    return f"{images.dtype or 'any type'}; the network sees (grey level - {images.mean:g}) / {images.std:g}"


def _table(*rows: tuple[str, Any]) -> Iterator[str]:
    yield "| | |"
    yield "| --- | --- |"
    for name, value in rows:
        yield f"| {name} | {NOT_STATED if value is None else str(value).replace('|', chr(92) + '|')} |"


def _text(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"start", "stop"}:
        return f"{_text(value['start'])} to {_text(value['stop'])}"
    return f"({', '.join(map(str, value))})" if isinstance(value, list) else str(value)


def _times(values: Sequence[float] | None, unit: str = "") -> str | None:
    return None if values is None else " x ".join(f"{n:g}" for n in values) + unit


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.5g}"
