"""Samples bent, turned, stretched, and with sections lost or shifted: all as one look-up, so that voxels are interpolated once.

Where each voxel of a patch comes from is decided first; that says how much has to be read. The image is interpolated linearly inside
sections, labels are taken from the nearest voxel. Everything happens before targets are computed, so affinities stay right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from axonloom.config.augment import AugmentSettings, MisalignmentSettings
from axonloom.geometry import Zyx
from axonloom.kernel import kernel

KINDS = ("rotate", "rescale", "elastic", "misalignment", "missing_section")

Coordinates = npt.NDArray[np.float32]


@kernel
def _linear(
    source: np.ndarray, sections: np.ndarray, rows: np.ndarray, columns: np.ndarray, result: np.ndarray
) -> None:
    channels, _, height, width = source.shape
    _, depth, ny, nx = result.shape
    for z in range(depth):
        at = z if rows.shape[0] > 1 else 0
        for y in range(ny):
            for x in range(nx):
                row, column = rows[at, y, x], columns[at, y, x]
                v, u = int(np.floor(row)), int(np.floor(column))
                a, b = row - v, column - u
                v1, u1 = min(v + 1, height - 1), min(u + 1, width - 1)
                for c in range(channels):
                    plane = source[c, sections[z]]
                    above = plane[v, u] * (1 - b) + plane[v, u1] * b
                    below = plane[v1, u] * (1 - b) + plane[v1, u1] * b
                    result[c, z, y, x] = above * (1 - a) + below * a


@kernel
def _nearest(
    source: np.ndarray, sections: np.ndarray, rows: np.ndarray, columns: np.ndarray, result: np.ndarray
) -> None:
    _, height, width = source.shape
    depth, ny, nx = result.shape
    for z in range(depth):
        at = z if rows.shape[0] > 1 else 0
        for y in range(ny):
            for x in range(nx):
                v = min(int(np.floor(rows[at, y, x] + 0.5)), height - 1)
                u = min(int(np.floor(columns[at, y, x] + 0.5)), width - 1)
                result[z, y, x] = source[sections[z], v, u]


@dataclass(frozen=True)
class Warp:
    """Where the voxels of a patch come from.

    Attributes
    ----------
    sections : int (z,)
        Section of the source for each of the patch.
    rows, columns : float32 (z or 1, y, x)
        Places in that section, all inside it.
    """

    sections: npt.NDArray[np.int64]
    rows: Coordinates
    columns: Coordinates

    @property
    def source_shape(self) -> Zyx:
        """Voxels (z, y, x) that are needed."""
        deepest = int(self.sections.max()) + 1
        return deepest, int(np.ceil(self.rows.max())) + 1, int(np.ceil(self.columns.max())) + 1

    def apply(self, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """An image (c, z, y, x) of the source's shape, as a patch."""
        result = np.empty((len(image), len(self.sections), *self.rows.shape[1:]), np.float32)
        _linear(np.ascontiguousarray(image, np.float32), self.sections, self.rows, self.columns, result)
        return result

    def apply_labels(self, labels: np.ndarray) -> np.ndarray:
        """Labels (z, y, x) of the source's shape, as a patch."""
        result = np.empty((len(self.sections), *self.rows.shape[1:]), labels.dtype)
        _nearest(np.ascontiguousarray(labels), self.sections, self.rows, self.columns, result)
        return result


def random_warp(random: np.random.Generator, settings: AugmentSettings, shape: Zyx) -> Warp | None:
    """One of the warps that the settings allow, for a patch of ``shape`` (z, y, x); None: the patch as it is."""
    # Those that are off draw nothing, so that others stay as they were.
    shares = {name: getattr(settings, name).share for name in KINDS}
    chosen = {name: share > 0 and random.random() < share for name, share in shares.items()}
    if not any(chosen.values()):
        return None
    depth, height, width = shape
    # Around the patch's middle, so that turning and stretching leave it where it is.
    v, u = np.meshgrid(np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2, indexing="ij")
    rows: npt.NDArray[np.floating] = v[None]
    columns: npt.NDArray[np.floating] = u[None]
    if chosen["elastic"]:
        rows, columns = (
            rows + _bend(random, settings, (height, width)),
            columns + _bend(random, settings, (height, width)),
        )
    if chosen["rescale"]:
        low, high = settings.rescale.low, settings.rescale.high
        by_y = random.uniform(low, high)
        by_x = by_y if settings.rescale.keep_aspect else random.uniform(low, high)
        rows, columns = rows / by_y, columns / by_x
    if chosen["rotate"]:
        rows, columns = _turned(rows, columns, random.uniform(-1, 1) * settings.rotate.degrees)
    if chosen["misalignment"]:
        rows, columns = _misaligned(random, settings.misalignment, rows, columns, depth)
    sections = np.arange(depth)
    if chosen["missing_section"]:
        sections = _with_lost_sections(random, settings.missing_section.sections, depth)
    first_row, first_column = np.floor(rows.min()), np.floor(columns.min())
    return Warp(sections, (rows - first_row).astype(np.float32), (columns - first_column).astype(np.float32))


def _bend(random: np.random.Generator, settings: AugmentSettings, shape: tuple[int, int]) -> npt.NDArray[np.floating]:
    noise = random.uniform(-1, 1, shape)
    return settings.elastic.strength * ndimage.gaussian_filter(noise, settings.elastic.smoothness, mode="constant")


def _turned(
    rows: npt.NDArray[np.floating], columns: npt.NDArray[np.floating], degrees: float
) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    angle = np.deg2rad(degrees)
    return np.cos(angle) * rows - np.sin(angle) * columns, np.sin(angle) * rows + np.cos(angle) * columns


def _misaligned(
    random: np.random.Generator,
    settings: MisalignmentSettings,
    rows: npt.NDArray[np.floating],
    columns: npt.NDArray[np.floating],
    depth: int,
) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """One section (a slip), or all from one on, shifted or turned; a turn moves no voxel by more than the displacement."""
    if depth < 2:
        return rows, columns
    rows, columns = (np.repeat(each, depth, axis=0) for each in (rows, columns))
    first = int(random.integers(1, depth))
    there = slice(first, first + 1) if random.random() < 0.5 else slice(first, None)
    if random.random() < settings.rotate:
        farthest = float(np.hypot(rows, columns).max())
        largest = np.rad2deg(min(settings.displacement / max(farthest, 1.0), np.pi / 4))
        rows[there], columns[there] = _turned(rows[there], columns[there], random.uniform(-largest, largest))
    else:
        rows[there] += random.integers(-settings.displacement, settings.displacement + 1)
        columns[there] += random.integers(-settings.displacement, settings.displacement + 1)
    return rows, columns


def _with_lost_sections(random: np.random.Generator, count: int, depth: int) -> npt.NDArray[np.int64]:
    """Sections of a deeper source, of which ``count`` between the first and the last are not there."""
    if depth < 3:
        return np.arange(depth)
    lost = random.choice(np.arange(1, depth + count - 1), size=count, replace=False)
    return cast(npt.NDArray[np.int64], np.delete(np.arange(depth + count), lost))
