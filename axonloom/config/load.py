"""From a YAML file and ``key=value`` words to a checked configuration, or one sentence that says what is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from axonloom.bad_input import BadInputError
from axonloom.config.configuration import Configuration
from axonloom.config.yaml_1_2 import parse_yaml
from axonloom.models.named import as_named
from axonloom.workspace import PLACE

#: Keys whose values are paths: those in a file are relative to it, those typed on a command line to the current folder.
PATH_KEYS = (
    "workspace",
    "volumes.image.path",
    "volumes.labels.path",
    "volumes.affinities.path",
    "volumes.tissue.path",
    "volumes.mask.path",
    "volumes.segmentation.path",
    "infer.checkpoint",
    "train.start_from",
    "train.valid.path",
    "train.volumes.*.image.path",
    "train.volumes.*.labels.path",
    "train.volumes.*.valid.path",
    "train.validation.volumes.*.image.path",
    "train.validation.volumes.*.labels.path",
    "train.validation.volumes.*.valid.path",
    "downsample.layer",
    "split.source",
    "split.target",
    "predict.source",
    "predict.target",
    "join.source",
    "join.target",
    "to_precomputed.source",
    "to_precomputed.target",
    "convert.source",
    "convert.target",
    "resize.source",
    "resize.target",
    "make_mask.source",
    "make_mask.target",
    "apply_mask.source",
    "apply_mask.mask",
    "apply_mask.target",
)

#: Those of them that may also name a registered model.
CHECKPOINT_KEYS = ("infer.checkpoint", "train.start_from")

#: A key of a file, and no setting: other files, relative to it, whose settings hold where it says nothing else. Of two files the later one counts.
INCLUDE = "include"


class ConfigurationError(BadInputError):
    """A configuration that cannot be used: what, where, and what would work."""


def load_configuration(path: Path | None, overrides: Iterable[str] = ()) -> Configuration:
    """The configuration in a YAML file with ``key=value`` overrides (``merge.threshold=0.4``; values are YAML).

    Raises
    ------
    ConfigurationError
        The file is missing or no YAML, a key is unknown (the nearest known one is named), or a value is not possible.
    """
    content: dict[str, Any] = {}
    where = "the command line"
    if path is not None:
        content = read_settings(path)
        where = str(path)
    typed: dict[str, Any] = {}
    for override in overrides:
        key, value = _parse_override(override)
        _put(typed, key, value, override)
    _make_absolute(typed, Path.cwd())
    require_known(typed, "the command line")
    if typed and path is not None:
        where = f"{path} with {', '.join(f'--set {key}' for key in _dotted(typed))}"
    return check_configuration(_merged(content, typed), where)


def configuration_in(path: Path, text: str | None = None) -> Configuration:
    """The configuration in a YAML file, or what it would be if the file held ``text``.

    Raises
    ------
    ConfigurationError
        As :func:`load_configuration`.
    """
    return check_configuration(read_settings(path, text), str(path))


def read_settings(path: Path, text: str | None = None) -> dict[str, Any]:
    """What a YAML file and the files that it includes say, unchecked but for the names of keys; paths are absolute.

    ``text``: what the file would hold.

    Raises
    ------
    ConfigurationError
        A file is missing, is no YAML, has an unknown key, or includes itself.
    """
    return _with_included(path, text, ())


def _with_included(path: Path, text: str | None, within: tuple[Path, ...]) -> dict[str, Any]:
    file = path.resolve()
    if file in within:
        raise ConfigurationError(
            f"{within[-1]}: {INCLUDE} leads to {path}, which includes this file itself; leave one of them out"
        )
    content = _read_yaml(path) if text is None else _content(text, path)
    names = content.pop(INCLUDE, None) or []
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigurationError(
            f"{path}: {INCLUDE} is a list of YAML files, such as [train.yaml, cluster.yaml], not {names!r}"
        )
    require_known(content, str(path))
    _make_absolute(content, file.parent)
    below: dict[str, Any] = {}
    for name in names:
        included = file.parent / Path(name).expanduser()
        if not included.is_file():
            raise ConfigurationError(f"{path}: {INCLUDE} names {included}, which is no file")
        below = _merged(below, _with_included(included, None, (*within, file)))
    return _merged(below, content)


def located(configuration: Configuration, folder: Path) -> Configuration:
    """The configuration with its relative paths made absolute against ``folder``."""
    content = configuration.model_dump(mode="json", exclude_unset=True)
    content.setdefault("workspace", str(configuration.workspace))
    _make_absolute(content, folder)
    return check_configuration(content, "the configuration")


def check_configuration(content: Mapping[str, Any], where: str) -> Configuration:
    """Validate plain data; pydantic's findings become sentences."""
    try:
        return Configuration.model_validate(content)
    except ValidationError as error:
        sentences = []
        for finding in error.errors():
            key = ".".join(str(part) for part in finding["loc"])
            message = _sentence(finding["type"], key, finding["msg"])
            given = finding.get("input")
            shown = f" (given: {given!r})" if not isinstance(given, Mapping) else ""
            sentences.append(f"{key}: {message}{shown}" if key else message)
        raise ConfigurationError(f"{where}: " + "; ".join(sentences)) from None


def _sentence(type: str, key: str, message: str) -> str:
    """What pydantic found, where it speaks of Python and not of YAML."""
    section = known_keys().get(key)
    if section is not None and type in ("model_type", "model_attributes_type", "dict_type"):
        names = list(section.model_fields)
        return (
            f"this is a section, written {key.rsplit('.', 1)[-1]}: {{{names[0]}: …}}; its keys are {', '.join(names)}"
        )
    if type in ("tuple_type", "list_type"):
        return "this is a list, in brackets, such as [8, 8, 8]"
    if type == "missing" and key.rsplit(".", 1)[-1].isdigit():
        return "one is missing in this list: it has a number for each of z, y, x"
    if type == "path_type":
        return "this is a path"
    return message.removeprefix("Value error, ")


def known_keys(model: type[BaseModel] = Configuration, prefix: str = "") -> dict[str, type[BaseModel] | None]:
    """Every key of the configuration in dotted form, with the model of those that are sections."""
    found: dict[str, type[BaseModel] | None] = {}
    for name, field in model.model_fields.items():
        section = section_of(field.annotation)
        found[prefix + name] = section
        if section is not None:
            found.update(known_keys(section, f"{prefix}{name}."))
    return found


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The settings model behind an annotation, also behind ``| None``."""
    if get_origin(annotation) is tuple:
        return None  # a list of such, which has no keys
    candidates = (annotation, *getattr(annotation, "__args__", ()))
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def require_known(content: Mapping[str, Any], where: str) -> None:
    """Refuse keys that no configuration has, each with the nearest one that there is."""
    known = known_keys()
    unknown: list[str] = []

    def visit(part: Mapping[str, Any], prefix: str) -> None:
        for name, value in part.items():
            key = f"{prefix}{name}"
            if key not in known:
                unknown.append(f"unknown key {key}; {_nearest(key, known)}")
            elif isinstance(value, Mapping) and known[key] is not None:
                visit(value, f"{key}.")

    visit(content, "")
    if unknown:
        raise ConfigurationError(f"{where}: " + "; ".join(unknown))


def _nearest(key: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    last = key.rsplit(".", 1)[-1]
    same_name = [k for k in known if k.rsplit(".", 1)[-1] == last]
    best = same_name[0] if same_name else close[0] if close else None
    return f"the nearest known key is {best}" if best else "no known key is like it"


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise ConfigurationError(f"{path} does not exist; `axonloom init DIR` writes a commented one") from None
    except IsADirectoryError:
        raise ConfigurationError(
            f"{path} is a folder: name the YAML file in it, such as {path / 'axonloom.yaml'}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None
    return _content(text, path)


def _content(text: str, path: Path) -> dict[str, Any]:
    try:
        content = parse_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path} must hold keys with values at its top, not a {type(content).__name__}")
    return content


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigurationError(f"--set takes KEY=VALUE, such as merge.threshold=0.4, not {override!r}")
    try:
        return key.strip(), parse_yaml(text)
    except yaml.YAMLError:
        raise ConfigurationError(f"--set {override}: the value is not YAML") from None


def _put(target: dict[str, Any], key: str, value: Any, override: str) -> None:
    *sections, name = key.split(".")
    for section in sections:
        target = target.setdefault(section, {})
        if not isinstance(target, dict):
            raise ConfigurationError(f"--set {override}: {section} was already given a value")
    target[name] = value


def _dotted(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for name, value in above.items():
        old = result.get(name)
        result[name] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _make_absolute(content: dict[str, Any], folder: Path) -> None:
    for key in PATH_KEYS:
        *sections, name = key.split(".")
        for part in _parts(content, sections):
            if isinstance(part.get(name), str):
                model = as_named(part[name], folder) if key in CHECKPOINT_KEYS else None
                part[name] = model or absolute_uri(part[name], folder)


def _parts(content: Any, sections: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The sections that a key leads to; ``*`` stands for each of a list."""
    if not sections:
        if isinstance(content, dict):
            yield content
        return
    first, *rest = sections
    if first == "*":
        inner = content if isinstance(content, list) else []
    else:
        inner = [content[first]] if isinstance(content, dict) and first in content else []
    for each in inner:
        yield from _parts(each, rest)


def absolute_uri(uri: str, folder: Path) -> str:
    """``uri`` with its local path made absolute against ``folder``; URLs of other machines stay as they are."""
    if uri.startswith(PLACE):
        return uri
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return str((folder / Path(uri).expanduser()).absolute())
    if scheme == "precomputed" and "://" not in rest and not rest.startswith(PLACE):
        return f"precomputed://{(folder / Path(rest).expanduser()).absolute()}"
    return uri
