"""The end of a job's log."""

from __future__ import annotations

from pathlib import Path

#: What is shown of it: Prefect keeps log records in its database.
LINES = 50
BYTES = 8000


def log_tail(path: Path | None, lines: int = LINES, size: int = BYTES) -> str:
    """The last ``lines`` lines within the last ``size`` bytes; "" when there is no such file (the job never began, or it lies on a
    disk that this machine does not see)."""
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            file.seek(max(0, end - size))
            text = file.read(size).decode(errors="replace")
    except OSError:
        return ""
    if end > size:
        text = text.partition("\n")[2] or text
    return "\n".join(text.splitlines()[-lines:])
