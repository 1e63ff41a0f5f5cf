"""Samples prepared ahead on threads, and handed out in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor

from axonloom.training.sampling import Sample


def in_order(
    make: Callable[[int], Sample], start: int, stop: int, threads: int, ahead: int
) -> Generator[Sample, None, None]:
    """``make(start)`` to ``make(stop - 1)``, computed on ``threads`` threads, at most ``ahead`` before they are taken.

    With 0 threads each is made when it is asked for. An error is raised where its sample would have come.
    """
    if threads == 0:
        yield from (make(index) for index in range(start, stop))
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="sample") as pool:
        waiting: deque[Future[Sample]] = deque()
        try:
            for index in range(start, stop):
                waiting.append(pool.submit(make, index))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
