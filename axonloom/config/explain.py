"""What each setting means and which values it takes, from the models, so that it says what they check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from axonloom.config.configuration import Configuration
from axonloom.config.load import ConfigurationError, known_keys, require_known, section_of


@dataclass(frozen=True)
class Explanation:
    """One key of the configuration.

    Attributes
    ----------
    key : dotted, such as ``merge.threshold``
    section : whether it holds keys rather than a value
    meaning : its description, with the unit
    allowed : values that it takes; "" for sections
    default : as YAML; "" where there is none, and for sections
    """

    key: str
    section: bool
    meaning: str
    allowed: str
    default: str


def explain(key: str | None = None) -> list[Explanation]:
    """A key, with all keys below it where it is a section; all keys without one.

    Raises
    ------
    ConfigurationError
        There is no such key; the nearest one is named.
    """
    everything = list(_explained(Configuration, "", Configuration.model_json_schema()))
    if key is None:
        return everything
    if key not in known_keys():
        nested: Any = None
        for name in reversed(key.split(".")):
            nested = {name: nested}
        require_known(nested, "explain")
        raise ConfigurationError(f"explain: {key} has no keys of its own")
    return [each for each in everything if each.key == key or each.key.startswith(f"{key}.")]


def as_markdown() -> str:
    """The page of all settings: a table for each section at the top."""
    lines = [
        "# Configuration",
        "",
        "Written by `axonloom config explain --markdown` from what the program checks. Positions and sizes are z, y, x. A volume's `voxel_size` is in nm.",
        "",
    ]
    last = None
    for each in explain():
        top = each.key.split(".")[0]
        if top != last:
            title = f"## {top}" if each.section else f"## `{each.key}`"
            lines += ["", title, "", each.meaning, ""]
            if each.section:
                lines += ["| key | meaning | values | default |", "| --- | --- | --- | --- |"]
            else:
                lines += [f"{each.allowed[:1].upper()}{each.allowed[1:]}; default: `{each.default}`"]
            last = top
            continue
        meaning = _cell(f"*{each.meaning}*" if each.section else each.meaning)
        default = f"`{_cell(each.default)}`" if each.default else ""
        lines.append(f"| `{each.key}` | {meaning} | {_cell(each.allowed)} | {default} |")
    text = "\n".join(lines) + "\n"
    return text.replace("\n\n\n", "\n\n")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _explained(model: type[BaseModel], prefix: str, schema: Mapping[str, Any]) -> Iterator[Explanation]:
    definitions = schema.get("$defs", {})
    properties = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        key, section = prefix + name, section_of(field.annotation)
        meaning = " ".join((field.description or "").split())
        if section is not None:
            yield Explanation(key, True, meaning, "", "")
            yield from _explained(section, f"{key}.", schema)
            continue
        default = field.get_default(call_default_factory=True)
        shown = "" if default is PydanticUndefined else as_yaml(default)
        yield Explanation(key, False, meaning, _allowed(properties[name], definitions), shown)


def _allowed(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        return _allowed(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    if "anyOf" in schema:
        options = [_allowed(each, definitions) for each in schema["anyOf"]]
        # Exact decimals are numbers to whoever types them; that their text is taken too is how they are stored.
        if any("number" in option for option in options):
            options = [option for option in options if option != "text"]
        return " or ".join(dict.fromkeys(options))
    if "const" in schema:
        return as_yaml(schema["const"])
    if "enum" in schema:
        return " or ".join(as_yaml(each) for each in schema["enum"])
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return ("whole number" if kind == "integer" else "number") + _bounds(schema)
    if kind == "array":
        return _list(schema, definitions)
    if kind == "object":
        if "properties" in schema:
            return "{" + ", ".join(schema["properties"]) + "}"
        return "keys with values"
    return {
        "boolean": "true or false",
        "null": "null",
        "string": "path" if schema.get("format") == "path" else "text",
    }.get(str(kind), "anything")


def _list(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        items = [_allowed(each, definitions) for each in schema["prefixItems"]]
        return f"{len(items)} in brackets, each: {items[0]}" if len(set(items)) == 1 else f"[{', '.join(items)}]"
    inner = _allowed(schema.get("items", {}), definitions)
    return f"list of {inner}" + (f", at least {schema['minItems']}" if schema.get("minItems") else "")


def _bounds(schema: Mapping[str, Any]) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    found = [f"{word} {schema[name]:g}" for name, word in words.items() if name in schema]
    return ", " + ", ".join(found) if found else ""


def as_yaml(value: Any) -> str:
    """A value as one line of YAML, as people write it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_yaml(each) for each in value) + "]"
    if isinstance(value, BaseModel):
        return "{" + ", ".join(f"{name}: {as_yaml(each)}" for name, each in value) + "}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {as_yaml(each)}" for name, each in value.items()) + "}"
    return str(value)
