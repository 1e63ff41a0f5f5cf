"""A progress bar painted by a thread while a job runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def bars(console: Console) -> Progress:
    """Bars with description, count, ``facts`` (a field of the task) and time left; nothing where there is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def painting(paint: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run ``paint`` in a thread for the time of a ``with`` block; it returns soon after its event is set."""
    stop = threading.Event()
    painter = threading.Thread(target=paint, args=(stop,), daemon=True)
    painter.start()
    try:
        yield
    finally:
        stop.set()
        painter.join()
