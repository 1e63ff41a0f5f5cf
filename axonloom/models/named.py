"""Checkpoints by the name of a registered model: ``model:NAME``, wherever a configuration takes a checkpoint's folder."""

from __future__ import annotations

from pathlib import Path

from axonloom.models.card import ModelError
from axonloom.models.registry import ModelRegistry

#: What comes before the name of a registered model.
PREFIX = "model:"


def as_named(text: str, folder: Path) -> str | None:
    """``model:NAME`` where ``text`` means a registered model: it says so, or is a bare name that no file in ``folder`` has; else None.

    A file or folder goes before a model, so that what a configuration means does not change when one is registered.
    """
    if text.startswith(PREFIX):
        return text
    is_bare = text not in ("", ".", "..") and "/" not in text and "\\" not in text
    if is_bare and not (folder / text).exists() and ModelRegistry.of_user().has(text):
        return f"{PREFIX}{text}"
    return None


def checkpoint_folder(given: str | Path) -> Path:
    """Where a checkpoint lies that is given by its path, or as ``model:NAME``.

    Raises
    ------
    ModelError
        No model is called so; or nothing lies at the path, and there are models that may have been meant.
    """
    name, models = named(given), ModelRegistry.of_user()
    if name is not None:
        return models.get(name).folder
    if not Path(given).exists() and (there := models.names()):
        raise ModelError(
            f"{given} does not exist: name a checkpoint (`axonloom train` makes them), or a registered model: "
            f"{', '.join(f'{PREFIX}{each}' for each in there)}"
        )
    return Path(given)


def named(given: str | Path) -> str | None:
    """The name in ``model:NAME``; None for a path."""
    text = str(given)
    return text.removeprefix(PREFIX) if text.startswith(PREFIX) else None
