"""The maps of all stages' blocks in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from axonloom.pictures import block_map

_PAPER, _INK, _TITLE = (255, 255, 255), (40, 40, 40), 20


def status_picture(maps: Sequence[tuple[str, np.ndarray]]) -> bytes:
    """PNG with one map below another. ``maps``: title and states (z, y, x) of each stage, see :func:`block_map`."""
    pictures = [Image.open(BytesIO(block_map(states))).convert("RGB") for _, states in maps]
    sheet = Image.new("RGB", (max(p.width for p in pictures), sum(p.height + _TITLE + 8 for p in pictures)), _PAPER)
    draw, font, y = ImageDraw.Draw(sheet), ImageFont.load_default(13), 0
    for (title, _), picture in zip(maps, pictures, strict=True):
        draw.text((4, y + 2), title, fill=_INK, font=font)
        sheet.paste(picture, (0, y + _TITLE))
        y += picture.height + _TITLE + 8
    buffer = BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
