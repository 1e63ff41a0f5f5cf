"""Exit codes, and which error means which."""

from __future__ import annotations

DONE = 0
SOME_BLOCKS_FAILED = 1
BAD_INPUT = 2
#: StoppedError half-way (Ctrl+C, SIGTERM, a full disk, a lost server): running the same command again goes on.
RESUMABLE = 3
