"""What made this: fingerprints of stages, and the versions that ran."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

RECORDED_PACKAGES = ("axonloom", "numpy", "numba", "torch", "tensorstore", "cloud-volume", "pyarrow", "prefect")


def fingerprint(content: Any) -> str:
    """sha256 over the canonical JSON of ``content`` (sorted keys, no floats: their text differs between writers).

    Raises
    ------
    TypeError
        ``content`` holds something that is not plain JSON, or a float; give decimals as strings.
    """
    _require_plain(content, "$")
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def software() -> dict[str, str]:
    """Versions of what computed a result."""
    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _require_plain(content: Any, where: str) -> None:
    if isinstance(content, dict):
        for key, value in content.items():
            if not isinstance(key, str):
                raise TypeError(f"a fingerprint takes text keys; {where} has {key!r}")
            _require_plain(value, f"{where}.{key}")
    elif isinstance(content, list | tuple):
        for i, value in enumerate(content):
            _require_plain(value, f"{where}[{i}]")
    elif content is not None and not isinstance(content, str | bool | int):
        raise TypeError(f"a fingerprint takes plain JSON without floats; {where} is {content!r}")
