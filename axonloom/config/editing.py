"""One key of a configuration file gets another value; every other byte of the file, comments included, stays.

The place of a value is that of its node in the parsed YAML, and only its characters are replaced. (Writing the whole file anew, as a
round trip through a YAML library does, moves the comments that lead a section to the end of the one before.) What comes out is parsed
again and compared with what was meant, before anything is written.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from axonloom.config.load import ConfigurationError, configuration_in, require_known
from axonloom.config.yaml_1_2 import compose_yaml, parse_yaml
from axonloom.durable import replacing


def set_value(path: Path, key: str, value: str) -> None:
    """Set one key of a YAML file, in place, whole or not at all.

    A key that is commented out or absent is added in its section, below the line that shows it commented out where there is one.

    Parameters
    ----------
    path : the configuration's file, which must exist
    key : in dotted form, such as ``merge.threshold``
    value : YAML on one line, as after ``--set KEY=``; relative paths are relative to the file

    Raises
    ------
    ConfigurationError
        No such file or key, or the file with this value would be no configuration. The file is unchanged.
    """
    try:
        # As bytes, so that line ends stay what they are.
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        configuration_in(path)  # says it in a sentence
        raise
    changed = with_value(text, key, value, path)
    configuration_in(path, changed)
    file = path.resolve()  # a link stays a link
    with replacing(file) as temporary:
        temporary.write_bytes(changed.encode())
        shutil.copymode(file, temporary)


def with_value(text: str, key: str, value: str, path: Path) -> str:
    """The YAML text with another value for one key. ``path`` is only named in errors.

    Raises
    ------
    ConfigurationError
        The key is none of a configuration, the text or the value is no YAML, or the key's place cannot be changed alone (such as a value
        that an alias shares with others).
    """
    names = key.split(".")
    meant = _parsed(value, f"{key}: the value {value!r} is not YAML")
    require_known(_nested(names, meant), str(path))
    before = _parsed(text, f"{path} is not YAML; mend it first")
    if not isinstance(before, dict | None):
        raise ConfigurationError(f"{path} must hold keys with values at its top, not a {type(before).__name__}")
    wanted = _put(before or {}, names, meant, path)
    # As typed where that says it, else in JSON, which is YAML on one line with all that needs quotes in them.
    for written in dict.fromkeys((value.strip(), json.dumps(meant, default=str, ensure_ascii=False))):
        if "\n" in written or "\r" in written or not written:
            continue
        changed = _Text(text).put(names, written)
        try:
            if parse_yaml(changed) == wanted:
                return changed
        except yaml.YAMLError:
            continue
    raise ConfigurationError(
        f"{path}: {key} cannot be changed by itself (an alias or a multi-line form); edit it in the file"
    )


def _parsed(text: str, otherwise: str) -> Any:
    try:
        return parse_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{otherwise} ({' '.join(str(error).split())})") from None


def _nested(names: list[str], value: Any) -> dict[str, Any]:
    for name in reversed(names):
        value = {name: value}
    return value


def _put(content: dict[str, Any], names: list[str], value: Any, path: Path) -> dict[str, Any]:
    result = copy.deepcopy(content)
    section: Any = result
    for depth, name in enumerate(names[:-1]):
        if section.get(name) is None:
            section[name] = {}
        section = section[name]
        if not isinstance(section, dict):
            raise ConfigurationError(f"{path}: {'.'.join(names[: depth + 1])} has a value, and no keys: {section!r}")
    section[names[-1]] = value
    return result


@dataclass(frozen=True)
class _Text:
    """A YAML text, and where in it a key goes."""

    text: str

    def put(self, names: list[str], value: str) -> str:
        node = compose_yaml(self.text)
        if not isinstance(node, yaml.MappingNode):
            return self._added(names, value, column=0, first=0, after=None)
        for depth, name in enumerate(names):
            found = [pair for pair in node.value if pair[0].value == name]
            if not found:
                return self._in_section(node, names[depth:], value)
            key, inner = found[-1]  # of equal keys the last counts
            empty = isinstance(inner, yaml.ScalarNode) and inner.start_mark.index == inner.end_mark.index
            if depth == len(names) - 1:
                space = " " if empty else ""
                return self.text[: inner.start_mark.index] + space + value + self.text[_end(inner) :]
            if isinstance(inner, yaml.MappingNode):
                node = inner
            elif empty and not node.flow_style:
                return self._below(key.start_mark.line, key.start_mark.column, names[depth + 1 :], value)
            else:
                held = _flow(names[depth + 1 :], value)
                return f"{self.text[: inner.start_mark.index]}{' ' * empty}{{{held}}}{self.text[_end(inner) :]}"
        raise AssertionError("a key has at least one name")

    def _in_section(self, section: yaml.MappingNode, names: list[str], value: str) -> str:
        """A new key in a section that there is."""
        if section.flow_style:
            if section.value:
                at = _end(section.value[-1][1])
                return f"{self.text[:at]}, {_flow(names, value)}{self.text[at:]}"
            at = section.end_mark.index - 1
            return f"{self.text[:at]}{_flow(names, value)}{self.text[at:]}"
        end = _end(section)
        last = self.text.count("\n", 0, end) - (self.text[:end].endswith("\n"))
        return self._added(names, value, section.start_mark.column, section.start_mark.line, last)

    def _below(self, header: int, column: int, names: list[str], value: str) -> str:
        """The first key of a section whose name stands alone in the line ``header``."""
        lines = self._lines()
        deeper = [_column(line) for line in lines[header + 1 : self._stop(header, column + 1)] if line.strip()]
        return self._added(names, value, deeper[0] if deeper else column + 2, header + 1, header)

    def _added(self, names: list[str], value: str, column: int, first: int, after: int | None) -> str:
        """A new key at ``column`` of the section that begins in the line ``first``.

        It goes below the line that shows it commented out, else below the line ``after``, else to the end.
        """
        lines = self._lines()
        # At the top any comment may show it; further in, those that are as deep as the section.
        stop = len(lines) if column == 0 else self._stop(first if after is None else after, column)
        shown = re.compile(rf"{' ' * column}# ?{re.escape(names[0])}:(?P<rest>.*)", re.DOTALL)
        for number in range(first, stop):
            found = shown.fullmatch(lines[number])
            if found is None:
                continue
            if len(names) == 1:
                return self._inserted(number + 1, [f"{' ' * column}{names[0]}: {value}"])
            if not found["rest"].strip():
                lines[number] = f"{' ' * column}{names[0]}:{found['rest']}"
                return _Text("".join(lines))._below(number, column, names[1:], value)
        block = [f"{' ' * (column + 2 * depth)}{name}:" for depth, name in enumerate(names)]
        block[-1] += f" {value}"
        # At the top a new section goes last: what follows the last key there may be its comments.
        return self._inserted(len(lines) if after is None or column == 0 else after + 1, block)

    def _inserted(self, number: int, block: list[str]) -> str:
        lines = self._lines()
        newline = "\r\n" if "\r\n" in self.text else "\n"
        if number > 0 and not lines[number - 1].endswith("\n"):
            lines[number - 1] += newline
        lines[number:number] = [line + newline for line in block]
        return "".join(lines)

    def _stop(self, line: int, column: int) -> int:
        """The first line after ``line`` that is neither blank nor begins at ``column`` or further in."""
        lines = self._lines()
        for number in range(line + 1, len(lines)):
            if lines[number].strip() and _column(lines[number]) < column:
                return number
        return len(lines)

    def _lines(self) -> list[str]:
        # Not splitlines(), which also parts at characters that are none of YAML's line ends.
        return [line for line in re.split(r"(?<=\n)", self.text) if line]


def _column(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _flow(names: list[str], value: str) -> str:
    """``a: {b: {c: value}}``."""
    return "".join(f"{name}: {{" for name in names[:-1]) + f"{names[-1]}: {value}" + "}" * (len(names) - 1)


def _end(node: yaml.Node) -> int:
    """One past the last character of a node. A block's own mark is where the next thing begins, behind comments."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return node.end_mark.index
