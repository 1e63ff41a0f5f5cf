"""Cancels the jobs of a flow that died: a small process that outlives it, even when it is killed with -9.

It reads job ids from its standard input, one a line, a leading ``-`` taking one back; the input ends when the flow's process is
gone, whatever ended it. Run as a script, with the standard library alone, so that it starts in no time and needs no memory.
"""

import subprocess
import sys


def main() -> None:
    jobs: dict[str, None] = {}
    for line in sys.stdin:
        job = line.strip()
        if job.startswith("-"):
            jobs.pop(job[1:], None)
        elif job:
            jobs[job] = None
    if jobs:
        subprocess.run(["scancel", "--quiet", *jobs], check=False)


if __name__ == "__main__":
    main()
