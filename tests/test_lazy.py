"""Attributes that are computed once."""

from __future__ import annotations

import threading

from axonloom.lazy import lazy


class Pair:
    """Of two attributes, each leads to the other of another instance."""

    def __init__(self, other: Pair | None = None, meet: threading.Barrier | None = None) -> None:
        self.other, self.meet, self.calls = other, meet, 0

    def _of_other(self, name: str) -> int:
        self.calls += 1
        if self.meet is not None:
            self.meet.wait(10)
        return 1 if self.other is None else 1 + getattr(self.other, name)

    @lazy
    def left(self) -> int:
        """The left one."""
        return self._of_other("right")

    @lazy
    def right(self) -> int:
        return self._of_other("left")


def test_computed_once_for_each_instance():
    first, second = Pair(), Pair()
    assert (first.left, first.left, first.calls, second.calls) == (1, 1, 1, 0)
    assert Pair.left.__doc__ == "The left one."


def test_two_threads_that_meet_within_do_not_wait_for_each_other():
    # As two batches do: one is in the first attribute and goes on to the second, the other the other way round.
    meet = threading.Barrier(2)
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda name=name: found.append(getattr(Pair(Pair(), meet), name)), daemon=True)
        for name in ("left", "right")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [2, 2]
