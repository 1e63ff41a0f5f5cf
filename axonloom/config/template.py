"""A commented configuration to start from, written from the models so that it says what they say."""

from __future__ import annotations

import textwrap
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from axonloom.config.configuration import Configuration
from axonloom.config.load import section_of

#: What a new project fills in; the rest is shown with its default, commented out.
EXAMPLE: dict[str, str] = {
    "workspace": "./work",
    "volumes.image.path": "train.h5:volumes/raw",
    "volumes.labels.path": "train.h5:volumes/labels/neuron_ids",
    "blocks.shape": "[128, 128, 128]",
    "segment.low": "0.05",
    "segment.high": "0.99",
    "merge.threshold": "0.5",
    "train.preset": "small",
    "train.iterations": "2000",
    "compute.on": "local",
    "compute.workers": "2",
}


def template() -> str:
    """YAML text with every key, its meaning and its default."""
    lines = [
        "# axonloom: paths are relative to this file. Lines that are commented out show the defaults.",
        "",
    ]
    _write(Configuration, "", 0, lines)
    return "\n".join(lines) + "\n"


def _write(model: type[BaseModel], prefix: str, depth: int, lines: list[str]) -> None:
    indent = "  " * depth
    for name, field in model.model_fields.items():
        key = prefix + name
        section = section_of(field.annotation)
        used = any(k == key or k.startswith(f"{key}.") for k in EXAMPLE)
        for text in textwrap.wrap(field.description or "", 116 - len(indent)):
            lines.append(f"{indent}# {text}")
        if section is not None and used:
            lines.append(f"{indent}{name}:")
            _write(section, f"{key}.", depth + 1, lines)
        elif key in EXAMPLE:
            lines.append(f"{indent}{name}: {EXAMPLE[key]}")
        elif section is not None:
            lines.append(f"{indent}# {name}:")
            hidden: list[str] = []
            _write(section, f"{key}.", depth + 1, hidden)
            lines.extend(_commented(line) for line in hidden)
        else:
            lines.append(
                f"{indent}# {name}: {shown_default(field.get_default(call_default_factory=True), field.annotation)}"
            )
        if depth == 0:
            lines.append("")


def _commented(line: str) -> str:
    stripped = line.lstrip()
    indent = line[: len(line) - len(stripped)]
    return line if stripped.startswith("#") or not stripped else f"{indent}# {stripped}"


def shown_default(value: Any, annotation: Any) -> str:
    """A default as YAML, or an example where there is none."""
    if value is PydanticUndefined:
        return ("file.h5:dataset" if annotation is str else "[0, 0, 0]") + "  # no default: to be given"
    if value is None:
        return "null"
    if isinstance(value, tuple):
        return "[" + ", ".join(str(v) for v in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
