"""Tables of which no cell is cut off."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.segment import Segments
from rich.table import Table

#: More columns than any table here has.
_UNLIMITED = 10_000


def print_table(console: Console, table: Table) -> None:
    """Print a table as wide as its cells are: in a narrower terminal its lines wrap, in a file they are whole."""
    everything = Measurement.get(console, console.options.update(max_width=_UNLIMITED), table).maximum
    lines = console.render(table, console.options.update(width=max(everything, console.width)))
    console.print(Segments(lines), soft_wrap=True, end="")
