"""The memory that a process may have: of its machine, or of the groups that it is in."""

from __future__ import annotations

import psutil
import pytest

from axonloom.memory_limit import memory_limit


@pytest.mark.parametrize(
    ("membership", "file", "content", "expected"),
    [
        ("0::/job/step\n", "job/step/memory.max", "1000000", 1000000),
        ("0::/job/step\n", "job/memory.max", "2000000", 2000000),
        ("0::/job/step\n", "job/memory.max", "max", None),
        ("0::/\n", "memory.max", "3000000", 3000000),
        ("5:cpu:/a\n4:memory:/a\n", "memory/a/memory.limit_in_bytes", "4000000", 4000000),
        ("5:cpu:/a\n", "memory/a/memory.limit_in_bytes", "4000000", None),
        ("0::/elsewhere\n", "job/memory.max", "1000000", None),
    ],
)
def test_the_smallest_limit_counts(tmp_path, membership, file, content, expected):
    (tmp_path / "groups" / file).parent.mkdir(parents=True)
    (tmp_path / "groups" / file).write_text(content)
    (tmp_path / "mine").write_text(membership)
    machine = psutil.virtual_memory().total
    assert memory_limit(tmp_path / "groups", tmp_path / "mine") == (expected or machine)
    assert memory_limit(tmp_path / "groups", tmp_path / "none") == machine
    assert 0 < memory_limit() <= machine
