"""What made this: fingerprints of stages, and the versions that ran."""

from __future__ import annotations

import hashlib
import json
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

RECORDED_PACKAGES = (
    "axonloom", "numpy", "numba", "torch", "tensorstore", "cloud-volume", "pyarrow", "prefect", "waterz", "bioimage-cpp",
)  # fmt: skip


def fingerprint(content: Any) -> str:
    """sha256 over the canonical JSON of ``content`` (sorted keys, shortest text of each number)."""
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    ).hexdigest()


@cache
def software() -> dict[str, str]:
    """Versions of what computed a result."""
    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
