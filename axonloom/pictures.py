"""Pictures for reports and artifacts, as PNG bytes small enough to stand inside a page.

Everything returns PNG bytes, but for the functions that turn one array into an RGB array (``slice_image``, ``colour_labels``,
``overlay``, ``affinity_rgb``), which are for :func:`panels`. Charts use matplotlib's objects on the Agg canvas: no pyplot, so no state and no
display.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from math import ceil, sqrt
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

MAX_PIXELS = 120_000
MAX_BYTES = 220_000
_CAPTION = 14
_GAP = 4
_PAPER = (255, 255, 255)
_INK = (40, 40, 40)
_BLOCK_COLOURS: Mapping[str, tuple[int, int, int]] = {
    "missing": (224, 224, 224),
    "running": (66, 133, 214),
    "done": (70, 160, 90),
    "failed": (206, 61, 61),
}


def _require_plane(array: np.ndarray, what: str) -> None:
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{what} takes a section (y, x) of at least one pixel, not an array of shape {array.shape}")


def slice_image(image: np.ndarray, window: tuple[float, float] | None = None) -> np.ndarray:
    """A section (y, x) of any real dtype as grey RGB, (y, x, 3) uint8.

    ``window``: the values that become black and white; default: uint8 as it is, others from the 1st to the 99th percentile
    of what is finite.
    """
    _require_plane(image, "slice_image")
    if image.dtype == np.uint8 and window is None:
        grey = image
    else:
        values = image.astype(np.float64)
        finite = values[np.isfinite(values)]
        low, high = window or (tuple(np.percentile(finite, (1, 99))) if finite.size else (0.0, 1.0))
        scaled = (values - low) / (high - low if high > low else 1.0)
        grey = np.round(255 * np.clip(np.nan_to_num(scaled), 0, 1)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def colour_labels(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """A bright colour for every id of a section (y, x) of integers, black for 0: (y, x, 3) uint8.

    The colour depends on the id and the seed alone, so one object looks the same in every picture.
    """
    _require_plane(labels, "colour_labels")
    if labels.dtype.kind not in "iub":
        raise ValueError(f"colour_labels takes integer ids, not {labels.dtype}")
    word = labels.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    word ^= word >> np.uint64(31)
    hue = (word & np.uint64(0xFFFF)).astype(np.float64) / 65536 * 6
    value = 0.75 + 0.25 * ((word >> np.uint64(16)) & np.uint64(0xFF)).astype(np.float64) / 255
    saturation = 0.5 + 0.5 * ((word >> np.uint64(24)) & np.uint64(0xFF)).astype(np.float64) / 255
    # HSV to RGB without cases (Foley and van Dam): channel n peaks at its own hue.
    channels = []
    for n in (5, 3, 1):
        k = (n + hue) % 6
        channels.append(value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1))
    colours = np.round(255 * np.stack(channels, axis=2)).astype(np.uint8)
    colours[labels == 0] = 0
    return colours


def overlay(image: np.ndarray, labels: np.ndarray, alpha: float = 0.4, seed: int = 0) -> np.ndarray:
    """Labels over their image, both (y, x); 0 stays clear: (y, x, 3) uint8. ``alpha``: 0 image alone, 1 labels alone."""
    if image.shape != labels.shape:
        raise ValueError(f"overlay needs an image and labels of one shape, not {image.shape} and {labels.shape}")
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha is 0 to 1, not {alpha}")
    grey = slice_image(image).astype(np.float64)
    mixed = grey + alpha * (colour_labels(labels, seed) - grey)
    mixed[labels == 0] = grey[labels == 0]
    return np.round(mixed).astype(np.uint8)


def affinity_rgb(affinities: np.ndarray) -> np.ndarray:
    """The three nearest-neighbour affinities (3, y, x) of a section, z y x as red green blue: (y, x, 3) uint8.

    uint8 (255 is 1) or floats (1 is white).
    """
    if affinities.ndim != 3 or affinities.shape[0] != 3:
        raise ValueError(f"affinity_rgb takes channels (3, y, x), not {affinities.shape}")
    if affinities.dtype != np.uint8:
        affinities = np.round(255 * np.clip(np.nan_to_num(affinities.astype(np.float64)), 0, 1)).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(affinities, 0, 2))


def _png(picture: Image.Image) -> bytes:
    """PNG bytes of at most MAX_BYTES: with fewer colours, then fewer pixels, where it must be."""
    while True:
        found = _encoded(picture)
        if len(found) > MAX_BYTES:
            found = _encoded(_in_fewer_colours(picture))
        if len(found) <= MAX_BYTES:
            return found
        picture = picture.resize(
            (max(1, picture.width * 3 // 4), max(1, picture.height * 3 // 4)), Image.Resampling.BOX
        )


def _encoded(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _in_fewer_colours(picture: Image.Image) -> Image.Image:
    """In 128 colours, chosen from a sixteenth of the pixels: choosing takes most of the time."""
    some = picture.resize((max(1, picture.width // 4), max(1, picture.height // 4)), Image.Resampling.NEAREST)
    return picture.quantize(palette=some.quantize(128), dither=Image.Dither.NONE)


def _fitted(array: np.ndarray, max_pixels: int, smooth: bool) -> Image.Image:
    """An RGB array as a picture of at most ``max_pixels``; small ones are blown up by whole numbers."""
    picture = Image.fromarray(np.ascontiguousarray(array))
    factor = sqrt(max_pixels / (picture.width * picture.height))
    if factor >= 2:
        times = min(int(factor), 8)
        return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    if factor >= 1:
        return picture
    size = (max(1, int(picture.width * factor)), max(1, int(picture.height * factor)))
    return picture.resize(size, Image.Resampling.BOX if smooth else Image.Resampling.NEAREST)


def panels(
    pictures: Sequence[np.ndarray], titles: Sequence[str] | None = None, max_pixels: int = 3 * MAX_PIXELS
) -> bytes:
    """Pictures side by side with captions, as PNG. Each is RGB (y, x, 3) uint8 or a grey section (y, x).

    ``max_pixels`` bounds their sum; larger ones are reduced (RGB ones by picking pixels, so that labels keep their colours).
    """
    if not pictures:
        raise ValueError("panels needs at least one picture")
    titles = titles or [""] * len(pictures)
    if len(titles) != len(pictures):
        raise ValueError(f"{len(pictures)} pictures need {len(pictures)} titles, not {len(titles)}")
    tiles = []
    for picture in pictures:
        grey = picture.ndim == 2
        if not grey and (picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or picture.size == 0):
            raise ValueError(f"a panel is (y, x) or (y, x, 3) uint8, not {picture.shape} {picture.dtype}")
        tiles.append(_fitted(slice_image(picture) if grey else picture, max_pixels // len(pictures), smooth=grey))
    return _png(_in_a_row(tiles, titles, columns=len(tiles)))


def _in_a_row(tiles: Sequence[Image.Image], titles: Sequence[str], columns: int) -> Image.Image:
    font = ImageFont.load_default(11)
    caption = _CAPTION if any(titles) else 0
    wide = max(t.width for t in tiles) + _GAP
    high = max(t.height for t in tiles) + _GAP + caption
    rows = ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * wide - _GAP, rows * high - _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for n, (tile, title) in enumerate(zip(tiles, titles, strict=True)):
        x, y = n % columns * wide, n // columns * high
        sheet.paste(tile, (x, y + caption))
        while title and draw.textlength(title, font=font) > wide - _GAP:
            title = title[:-2].rstrip() + "…" if len(title) > 2 else ""
        draw.text((x + 1, y), title, fill=_INK, font=font)
    return sheet


def block_map(
    states: np.ndarray,
    legend: Mapping[int, tuple[str, tuple[int, int, int]]] | None = None,
    max_pixels: int = 2 * MAX_PIXELS,
) -> bytes:
    """Blocks by state, one small map (y, x) for each layer z, as PNG with a legend that counts.

    Parameters
    ----------
    states : (z, y, x) integers
        State of every block of the grid.
    legend : mapping of state to (name, RGB), optional
        Default: 0 missing, 1 running, 2 done, 3 failed.
    max_pixels : int
        A grid with more blocks than that is reduced; a pixel then shows the highest state among its blocks, so that a failed
        block is never hidden.
    """
    if states.ndim != 3 or states.size == 0 or states.dtype.kind not in "iub":
        raise ValueError(f"block_map takes integer states (z, y, x), not {states.shape} {states.dtype}")
    if legend is None:
        legend = {n: (name, colour) for n, (name, colour) in enumerate(_BLOCK_COLOURS.items())}
    found, counts = np.unique(states, return_counts=True)
    unknown = [int(v) for v in found if int(v) not in legend]
    if unknown:
        raise ValueError(f"the legend names the states {sorted(legend)}, but blocks are in {unknown}")
    shown = states
    while shown.size > max_pixels // 4:
        axis = int(np.argmax(shown.shape))
        starts = np.arange(0, shown.shape[axis], 2)
        shown = np.maximum.reduceat(shown, starts, axis=axis)
    depth, height, width = shown.shape
    side = max(1, min(24, int(sqrt(max_pixels / shown.size))))
    paint = np.zeros((*shown.shape, 3), np.uint8)
    for value, (_, colour) in legend.items():
        paint[shown == value] = colour
    layers = np.repeat(np.repeat(paint, side, axis=1), side, axis=2)
    if side >= 4:
        layers[:, side - 1 :: side] = 255
        layers[:, :, side - 1 :: side] = 255
    tiles = [Image.fromarray(layer) for layer in layers]
    if depth > 1:
        columns = max(1, min(depth, round(sqrt(depth * (height + 2) / (width + 2) * 1.8))))
    else:
        columns = 1
    step = states.shape[0] / depth
    titles = [f"z {int(n * step)}" if width * side >= 28 else "" for n in range(depth)]
    map_ = _in_a_row(tiles, titles, columns)
    names = {int(v): int(c) for v, c in zip(found, counts, strict=True)}
    return _png(_with_legend(map_, [(f"{name} {names.get(v, 0):,}", colour) for v, (name, colour) in legend.items()]))


def _with_legend(picture: Image.Image, entries: Sequence[tuple[str, tuple[int, int, int]]]) -> Image.Image:
    font = ImageFont.load_default(11)
    measure = ImageDraw.Draw(picture)
    widths = [int(measure.textlength(text, font=font)) + 28 for text, _ in entries]
    sheet = Image.new("RGB", (max(picture.width, sum(widths)) + 8, picture.height + 26), _PAPER)
    sheet.paste(picture, (4, 22))
    draw = ImageDraw.Draw(sheet)
    x = 4
    for (text, colour), width in zip(entries, widths, strict=True):
        draw.rectangle((x, 4, x + 12, 16), fill=colour)
        draw.text((x + 16, 3), text, fill=_INK, font=font)
        x += width
    return sheet


def loss_curve(
    iterations: Sequence[float],
    losses: Sequence[float],
    validation: Sequence[tuple[float, float]] | None = None,
    max_pixels: int = 2 * MAX_PIXELS,
    scores: Sequence[tuple[float, float]] | None = None,
    scored_by: str = "score",
) -> bytes:
    """Loss against iteration as PNG: every value faint, their running mean strong, ``validation`` (iteration, loss) as dots.

    Values that are not finite are left out, and the title counts them. The axis is logarithmic where all are above 0. ``scores``
    (iteration, number) have an axis of their own at the right, called ``scored_by``.
    """
    at, values = np.asarray(iterations, np.float64), np.asarray(losses, np.float64)
    if at.shape != values.shape or at.ndim != 1:
        raise ValueError(f"loss_curve needs one loss for each iteration, not {values.shape} for {at.shape}")
    good = np.isfinite(values)
    lost = int((~good).sum())
    at, values = at[good], values[good]
    checks = np.asarray([pair for pair in validation or [] if np.isfinite(pair[1])], np.float64).reshape(-1, 2)
    dots = 100
    width = sqrt(max_pixels * 2.0)
    figure = Figure(figsize=(width / dots, width / 2 / dots), dpi=dots, layout="constrained")
    axes = figure.subplots()
    if values.size:
        stride = ceil(values.size / 4000)
        axes.plot(at[::stride], values[::stride], color="0.75", linewidth=0.7)
        span = min(values.size, max(1, values.size // 50))
        total = np.concatenate([[0.0], np.cumsum(values)])
        running = (total[span:] - total[:-span]) / span
        axes.plot(at[span - 1 :][::stride], running[::stride], color="tab:blue", linewidth=1.4, label="training")
    if len(checks):
        axes.plot(checks[:, 0], checks[:, 1], "o-", color="tab:orange", markersize=3, linewidth=1, label="validation")
    both = np.concatenate([values, checks[:, 1]])
    if both.size and both.min() > 0:
        axes.set_yscale("log")
    axes.set(xlabel="iteration", ylabel="loss")
    if lost:
        axes.set_title(f"{lost} values that are not finite are left out", fontsize=8)
    axes.grid(alpha=0.3)
    shown = axes.get_lines() if both.size else []
    if scores:
        right = axes.twinx()
        pairs = np.asarray(scores, np.float64)
        shown = [*shown, *right.plot(pairs[:, 0], pairs[:, 1], "s-", color="tab:green", markersize=3, label=scored_by)]
        right.set(ylabel=scored_by)
    named = [line for line in shown if not str(line.get_label()).startswith("_")]
    if named:
        axes.legend(handles=named, fontsize=8)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return _png(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
