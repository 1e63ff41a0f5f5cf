"""Tables on the terminal and in files: no cell is cut off."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.table import Table

from cli.tables import print_table


@pytest.mark.parametrize("width", [20, 80, 300])
def test_every_cell_is_whole_however_narrow_the_terminal(width: int):
    table = Table(box=None, pad_edge=False)
    cells = [f"residual_unet_3d_{number}" for number in range(9)]
    for cell in cells:
        table.add_column(cell.upper(), no_wrap=True)
    table.add_row(*cells)
    written = io.StringIO()
    print_table(Console(width=width, file=written), table)
    heads, row = (line.split() for line in written.getvalue().splitlines())
    assert row == cells
    assert heads == [cell.upper() for cell in cells]
