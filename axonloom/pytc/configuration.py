"""PyTorch Connectomics v1's configuration: a base file, a file, and KEY VALUE pairs, each over the one before."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from axonloom.bad_input import BadInputError
from axonloom.pytc.defaults import DEFAULTS

OPEN = frozenset({"AUGMENTOR"})
#: What inference takes from its own section, where that says something.
OF_INFERENCE = {
    "DATASET": ("INPUT_PATH", "IMAGE_NAME", "OUTPUT_PATH", "PAD_SIZE", "IS_ABSOLUTE_PATH", "DO_CHUNK_TITLE", "DATA_SCALE"),
    "MODEL": ("INPUT_SIZE", "OUTPUT_SIZE"),
}  # fmt: skip


class PytcError(BadInputError):
    """A configuration or checkpoint of PyTorch Connectomics that cannot be used: what, where, and what would work."""


class PytcConfiguration:
    """A merged configuration; ``configuration["MODEL"]["FILTERS"]`` as in its files.

    Attributes
    ----------
    said : frozenset of str
        Keys (``MODEL.FILTERS``) that a file or the command line gave; the others are defaults.
    """

    def __init__(self, sections: Mapping[str, Mapping[str, Any]], said: frozenset[str]) -> None:
        self._sections = sections
        self.said = said

    def __getitem__(self, section: str) -> Mapping[str, Any]:
        return self._sections[section]

    @classmethod
    def load(cls, base: Path | None, file: Path, words: Sequence[str] = ()) -> PytcConfiguration:
        """Read ``base``, then ``file``, then ``words`` (KEY VALUE KEY VALUE …, values as Python writes them, else text).

        Raises
        ------
        PytcError
            A file cannot be read, a key is unknown (the nearest known one is named), or words come without a value.
        """
        sections = deepcopy(DEFAULTS)
        said: set[str] = set()
        for path in (base, file):
            if path is not None:
                _put_all(sections, _read(path), str(path), said)
        if len(words) % 2:
            raise PytcError(f"after the options stand KEY VALUE pairs; {words[-1]!r} has no value")
        for key, value in zip(words[::2], words[1::2], strict=True):
            content: Any = _value(value)
            for name in reversed(key.split(".")):
                content = {name: content}
            _put_all(sections, content, "the command line", said)
        return cls(sections, frozenset(said))

    def for_inference(self) -> PytcConfiguration:
        """The same with what ``INFERENCE`` says in its place, as ``--inference`` does it."""
        sections: dict[str, Mapping[str, Any]] = dict(self._sections)
        for section, keys in OF_INFERENCE.items():
            given = {key: self["INFERENCE"][key] for key in keys if self["INFERENCE"][key] is not None}
            if section == "MODEL" and self["MODEL"]["ARCHITECTURE"] == "unetr":
                given = {}  # its weights belong to one size, that of training
            sections[section] = {**self[section], **given}
        return PytcConfiguration(sections, self.said)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise PytcError(f"{path} does not exist: name a YAML file of PyTorch Connectomics v1") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PytcError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise PytcError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise PytcError(f"{path} holds no sections such as MODEL and INFERENCE")
    return content


def _put_all(sections: dict[str, dict[str, Any]], content: Mapping[str, Any], where: str, said: set[str]) -> None:
    for section, values in content.items():
        if section not in sections:
            raise PytcError(f"{where}: there is no section {section}; {_nearest(section, sections)}")
        if not isinstance(values, Mapping):
            raise PytcError(f"{where}: {section} is a section, and needs keys with values")
        _put(sections[section], DEFAULTS[section], values, section, where, said)


def _put(
    target: dict[str, Any],
    defaults: Mapping[str, Any],
    values: Mapping[str, Any],
    prefix: str,
    where: str,
    said: set[str],
) -> None:
    for key, value in values.items():
        name = f"{prefix}.{key}"
        if prefix.split(".")[0] not in OPEN and key not in target:
            raise PytcError(f"{where}: there is no key {name}; {_nearest(key, target)}")
        known = defaults.get(key)
        if isinstance(known, dict) and isinstance(value, Mapping):
            _put(target[key], known, value, name, where, said)
            continue
        target[key] = _checked(known, _value(value), name, where)
        said.add(name)


def _value(given: Any) -> Any:
    """Text that Python would read as a value is that value, as YACS has it: ``None``, ``[1, 2]``."""
    if not isinstance(given, str):
        return given
    try:
        return ast.literal_eval(given)
    except (ValueError, SyntaxError):
        return given


def _checked(known: Any, value: Any, name: str, where: str) -> Any:
    """Refuse another kind than the default's: a list where a number stands would fail much later.

    What a base file says is no measure: YACS takes its kind for the only one, so that a number there forbids a list.
    """
    if known is None or value is None:
        return value
    if isinstance(known, bool) and isinstance(value, bool | int):
        # DO_CHUNK_TITLE and the like are written either way.
        return bool(value) if value in (0, 1) else value
    if isinstance(known, float) and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(known, list) and isinstance(value, list | tuple):
        return list(value)
    if isinstance(known, int) and isinstance(value, bool):
        return int(value)
    if isinstance(value, type(known)) or (isinstance(known, str) and isinstance(value, list)):
        return value
    raise PytcError(f"{where}: {name} is {value!r}, where something like {known!r} is expected")


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"the nearest is {close[0]}" if close else f"there are {', '.join(known)}"


def names(given: Any) -> Iterator[str]:
    """File names as PyTorch Connectomics writes them: a list, ``a@b``, a ``.txt`` file of names, or one name."""
    if given is None:
        return
    if isinstance(given, list | tuple):
        for each in given:
            yield from names(each)
    elif str(given).endswith(".txt"):
        try:
            yield from Path(given).read_text().split()
        except OSError as error:
            raise PytcError(f"{given}, a list of images, cannot be read ({error.strerror})") from None
    else:
        yield from str(given).split("@")
