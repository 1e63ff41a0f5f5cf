"""How much memory this process may have at most."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

#: Where Linux shows control groups, and to which of them a process belongs.
GROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def memory_limit(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int:
    """Bytes: those of the machine, or of the control group (a container, a SLURM job) that this process is in, where it has fewer.

    A process that takes more is killed without a word, so what is sure to take more should not begin.
    """
    return min([psutil.virtual_memory().total, *_of_groups(groups, membership)])


def _of_groups(groups: Path, membership: Path) -> Iterator[int]:
    """The limits of this process's groups and of those around them, of both versions of control groups."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, file = (groups / "memory", "memory.limit_in_bytes") if controllers else (groups, "memory.max")
        within = Path(name.lstrip("/"))
        for folder in (within, *within.parents):
            try:
                yield int((top / folder / file).read_text())
            except (OSError, ValueError):
                # Not shown in a container, or "max".
                continue
