"""A file system of a few megabytes that can be filled to the last byte."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType


class SmallDisk:
    """A tmpfs at ``folder``, as a context manager; needs the right to mount."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder, self.megabytes = folder, megabytes

    def fill(self, but: int = 0) -> None:
        """Take all the room, save for ``but`` bytes."""
        room = os.statvfs(self.folder)
        left = room.f_bavail * room.f_frsize - but
        with (self.folder / "filler").open("ab", buffering=0) as file:
            try:
                while left > 0:
                    left -= file.write(bytes(min(left, 4096)))
            except OSError:
                return

    def make_room(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)
        subprocess.run(["mount", "-o", f"remount,size={4 * self.megabytes}m", str(self.folder)], check=True)

    def __enter__(self) -> SmallDisk:
        self.folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.megabytes}m", "tmpfs", str(self.folder)], check=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Lazily: what still reads there ends when it ends.
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
