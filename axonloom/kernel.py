"""How kernels are compiled: without Python's lock, and kept on disk between runs.

numba recompiles a kernel when its own file changes, and not when a kernel that it calls from another file does; after an
update the old machine code would go on, and with it the old bytes. So compiled kernels lie in a folder named after the
content of all kernel files together, below NUMBA_CACHE_DIR or the user's cache folder.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from numba import config, njit

MARK = b"from axonloom.kernel import"


def kernels_hash(package: Path) -> str:
    """sha256 (16 digits) over the files below ``package`` that hold kernels."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        if MARK in content:
            digest.update(f"{path.relative_to(package)} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()[:16]


def _use_own_folder() -> None:
    given = os.environ.get("NUMBA_CACHE_DIR")
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "axonloom" / "kernels"
    # Not into the environment: a later version in a child process has kernels of its own.
    folder = (Path(given) if given else caches) / kernels_hash(Path(__file__).parent)
    config.CACHE_DIR = str(folder)  # pyright: ignore[reportAttributeAccessIssue]  numba makes it at run time


_use_own_folder()

#: A kernel.
kernel = njit(nogil=True, cache=True)
#: A small kernel that becomes part of those that call it, also of those in other files.
inlined = njit(nogil=True, cache=True, inline="always")
