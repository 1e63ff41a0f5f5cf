"""Compiled kernels are kept on disk, and not beyond a change of any of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from axonloom.kernel import kernels_hash

OUTER = """
from axonloom.kernel import kernel
from {inner} import value

@kernel
def doubled():
    return 2 * value()
"""
INNER = """
from axonloom.kernel import kernel

@kernel
def value():
    return {value}
"""


def test_the_hash_follows_kernel_files_and_no_others(tmp_path):
    (tmp_path / "outer.py").write_text(OUTER)
    (tmp_path / "inner.py").write_text(INNER)
    (tmp_path / "words.py").write_text("A = 1\n")
    before = kernels_hash(tmp_path)
    (tmp_path / "words.py").write_text("A = 2\n")
    assert kernels_hash(tmp_path) == before
    (tmp_path / "inner.py").write_text(INNER.format(value=2))
    assert kernels_hash(tmp_path) != before


def test_a_kernel_that_another_file_calls_is_compiled_anew_when_it_changes(repository, tmp_path):
    """A copy of the package, in which an inner kernel changes while the file of the outer one stays as it is."""
    code = (
        "import json, numba\n"
        "from axonloom.outer import doubled\n"
        "print(json.dumps([doubled(), numba.config.CACHE_DIR, sum(doubled.stats.cache_hits.values())]))\n"
    )
    package = tmp_path / "axonloom"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "kernel.py").write_text((repository / "axonloom" / "kernel.py").read_text())
    (package / "outer.py").write_text(OUTER.format(inner="axonloom.inner"))

    def run(value: int) -> tuple[int, Path, int]:
        (package / "inner.py").write_text(INNER.format(value=value))
        environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
        environment["XDG_CACHE_HOME"] = str(tmp_path / "caches")
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )
        result, folder, hits = json.loads(done.stdout)
        return result, Path(folder), hits

    first, folder, _ = run(3)
    assert first == 6
    assert list(folder.rglob("*.nbc"))
    assert folder.is_relative_to(tmp_path / "caches" / "axonloom" / "kernels")
    again, same, hits = run(3)
    assert (again, same, hits) == (6, folder, 1)
    assert run(4)[0] == 8
