"""Settings side by side: with their defaults, or with those of another configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from axonloom.config.configuration import Configuration
from axonloom.config.load import ConfigurationError, known_keys


@dataclass(frozen=True)
class SettingRow:
    """A setting of a configuration, and what it is by default (None where there is no default)."""

    key: str
    value: Any
    default: Any

    @property
    def section(self) -> str:
        """The section at the top that it belongs to; "" for keys at the top."""
        return self.key.partition(".")[0] if "." in self.key else ""

    @property
    def parameter(self) -> str:
        return self.key.partition(".")[2] or self.key

    @property
    def is_default(self) -> bool:
        return self.value == self.default


def settings_rows(
    configuration: Configuration, section: str | None = None, everything: bool = False
) -> list[SettingRow]:
    """Settings in the order of the configuration: those that are not as by default, or all.

    Raises
    ------
    ConfigurationError
        There is no such section.
    """
    sections = [key for key, model in known_keys().items() if model is not None]
    if section is not None and section not in sections:
        top = ", ".join(each for each in sections if "." not in each)
        raise ConfigurationError(f"there is no section {section}; there are {top}")
    defaults = _flat(Configuration())
    rows = [SettingRow(key, value, defaults.get(key)) for key, value in _flat(configuration).items()]
    return [
        row
        for row in rows
        if (everything or not row.is_default) and (section is None or row.key.startswith(f"{section}."))
    ]


def difference(one: Configuration, other: Configuration) -> list[tuple[str, Any, Any]]:
    """Keys whose values differ, with both values (None where a configuration has none), in the order of the configuration."""
    first, second = _flat(one), _flat(other)
    order = {key: n for n, key in enumerate(known_keys())}
    keys = sorted(first.keys() | second.keys(), key=lambda key: order.get(key, len(order)))
    return [(key, first.get(key), second.get(key)) for key in keys if first.get(key) != second.get(key)]


def _flat(configuration: Configuration) -> dict[str, Any]:
    return dict(_leaves(configuration.model_dump(mode="json"), "", known_keys()))


def _leaves(content: Mapping[str, Any], prefix: str, known: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        key = f"{prefix}{name}"
        # A section that is not set (None) is a value; keys with values of the user's own are one value.
        if isinstance(value, Mapping) and known.get(key) is not None:
            yield from _leaves(value, f"{key}.", known)
        else:
            yield key, value
