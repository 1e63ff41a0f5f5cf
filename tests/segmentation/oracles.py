"""Slow twins of the segmentation kernels, straight from the definitions, for tiny volumes."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product

import numpy as np

from axonloom.segmentation.smoothing import gaussian, sigmas


def edges_of(
    affinities: np.ndarray, mask: np.ndarray | None = None
) -> list[tuple[int, int, int, tuple[int, int, int, int]]]:
    """All edges that exist: (global edge index, voxel, voxel before it, index into the affinities)."""
    shape = affinities.shape[1:]
    keep = np.ones(shape, bool) if mask is None else mask
    found = []
    for v in product(*(range(n) for n in shape)):
        for c in range(3):
            if v[c] == 0:
                continue
            u = tuple(n - (k == c) for k, n in enumerate(v))
            if keep[v] and keep[u]:
                i, j = (int(np.ravel_multi_index(w, shape)) for w in (v, u))
                found.append((3 * i + c, i, j, (c, *v)))
    return found


def smoothed(affinities: np.ndarray, smoothing: object) -> np.ndarray:
    """256 times the smoothed affinities, by padding and adding in Python integers' order-free sums."""
    result = np.zeros(affinities.shape, np.int64)
    for c in range(3):
        part = tuple(slice(1, None) if k == c else slice(None) for k in range(3))
        values = affinities[c][part].astype(np.int64)
        if values.size == 0:
            continue
        shifts = (4, 12, 12)
        for axis, sigma in enumerate(sigmas(smoothing)):  # type: ignore[arg-type]
            half = gaussian(sigma).astype(np.int64)
            radius = len(half) - 1
            pad = [(radius, radius) if k == axis else (0, 0) for k in range(3)]
            padded = np.pad(values, pad, mode="symmetric")
            n = values.shape[axis]
            total = sum(
                half[abs(i)] * np.take(padded, range(radius + i, radius + i + n), axis)
                for i in range(-radius, radius + 1)
            )
            values = (total + (1 << (shifts[axis] - 1))) >> shifts[axis]
        result[c][part] = values
    return result


def components(n: int, joins: Sequence[tuple[int, int]]) -> np.ndarray:
    """For each of n members the smallest one that it is joined with: repeated sweeps until nothing changes."""
    smallest = np.arange(n)
    changed = True
    while changed:
        changed = False
        for i, j in joins:
            low = min(smallest[i], smallest[j])
            if smallest[i] != low or smallest[j] != low:
                smallest[i] = smallest[j] = low
                changed = True
    return smallest


def fragments(
    affinities: np.ndarray, low: int, high: int, mask: np.ndarray | None = None, smoothing: object = None
) -> np.ndarray:
    """Canonical fragment ids of a whole volume (uint64)."""
    values = affinities.astype(np.int64) if smoothing is None else smoothed(affinities, smoothing)
    scale = 1 if smoothing is None else 256
    edges = edges_of(affinities, mask)
    best: dict[int, tuple[int, int, int]] = {}
    joins = []
    for index, i, j, at in edges:
        value = int(values[at])
        if value < low * scale:
            continue
        for here, there in ((i, j), (j, i)):
            if here not in best or (-value, index) < best[here][:2]:
                best[here] = (-value, index, there)
        if value >= high * scale:
            joins.append((i, j))
    joins += [(here, there) for here, (_, _, there) in best.items()]
    smallest = components(affinities[0].size, joins)
    labels = np.array([smallest[i] + 1 if i in best else 0 for i in range(affinities[0].size)], np.uint64)
    return labels.reshape(affinities.shape[1:])


def absorbed(
    labels: np.ndarray, affinities: np.ndarray, smaller_than: int, low: int, mask: np.ndarray | None = None
) -> np.ndarray:
    """Labels after going through all voxel pairs from the strongest down: two fragments become one when either is small."""
    labels = labels.copy()
    for value, _, i, j in sorted((-int(affinities[at]), index, i, j) for index, i, j, at in edges_of(affinities, mask)):
        a, b = sorted((int(labels.flat[i]), int(labels.flat[j])))
        if a and a != b and -value >= low and min(np.count_nonzero(labels == n) for n in (a, b)) < smaller_than:
            labels[labels == b] = a
    return labels


def region_graph(labels: np.ndarray, affinities: np.ndarray) -> dict[tuple[int, int], tuple[int, int, int]]:
    """(a, b) -> (sum, count, key) over all voxel pairs of two fragments; their strongest pair is in :func:`strongest`."""
    flat = labels.ravel()
    graph: dict[tuple[int, int], tuple[int, int, int]] = {}
    for index, i, j, at in edges_of(affinities):
        a, b = sorted((int(flat[i]), int(flat[j])))
        if a and a != b:
            total, count, key = graph.get((a, b), (0, 0, 0))
            graph[a, b] = (total + int(affinities[at]), count + 1, max(key, index))
    return graph


def strongest(labels: np.ndarray, affinities: np.ndarray) -> dict[tuple[int, int], int]:
    """(a, b) -> the strongest voxel pair of two fragments as edge tables hold it."""
    flat = labels.ravel()
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for index, i, j, at in edges_of(affinities):
        a, b = sorted((int(flat[i]), int(flat[j])))
        if a and a != b:
            pair = (255 - int(affinities[at]), index)
            found[a, b] = min(found.get((a, b), pair), pair)
    return {ends: (weakness << 55) + index for ends, (weakness, index) in found.items()}


def histograms(labels: np.ndarray, affinities: np.ndarray) -> dict[tuple[int, int], tuple[int, ...]]:
    """(a, b) -> how many voxel pairs of two fragments have an affinity of 0 to 7, 8 to 15, …"""
    flat = labels.ravel()
    found: dict[tuple[int, int], list[int]] = {}
    for _, i, j, at in edges_of(affinities):
        a, b = sorted((int(flat[i]), int(flat[j])))
        if a and a != b:
            found.setdefault((a, b), [0] * 32)[int(affinities[at]) // 8] += 1
    return {ends: tuple(counts) for ends, counts in found.items()}


def quantile(histogram: Sequence[int], percent: int) -> Fraction:
    """The smallest t of 0..1 at which the distribution function, linear over each bin, reaches ``percent``."""
    wanted, below = Fraction(percent * sum(histogram), 100), Fraction(0)
    for k, inside in enumerate(histogram):
        if below + inside >= wanted:
            return (k + (wanted - below) / inside) / len(histogram)
        below += inside
    raise AssertionError("no contacts")


def quantile_agglomeration(
    graph: dict[tuple[int, int], tuple[tuple[int, ...], int]], percent: int, lowest: Fraction
) -> list[tuple[int, int, Fraction, int]]:
    """Greedy merging by looking at every edge each time, from (histogram, key): rows (a, b, score, key)."""
    graph = dict(graph)
    merges = []
    while graph:
        (a, b), (histogram, key) = min(graph.items(), key=lambda e: (-quantile(e[1][0], percent), e[1][1]))
        score = quantile(histogram, percent)
        if score < lowest:
            break
        merges.append((a, b, score, key))
        merged: dict[tuple[int, int], tuple[tuple[int, ...], int]] = {}
        for (u, v), (counts, k) in graph.items():
            u, v = sorted((a if u == b else u, a if v == b else v))
            if u != v:
                counts0, k0 = merged.get((u, v), ((0,) * len(counts), 0))
                merged[u, v] = (tuple(m + n for m, n in zip(counts0, counts, strict=True)), max(k0, k))
        graph = merged
    return merges


def agglomeration(
    graph: dict[tuple[int, int], tuple[int, int, int]], lowest: Fraction
) -> list[tuple[int, int, int, int, int]]:
    """Greedy merging by looking at every edge each time: rows (a, b, sum, count, key)."""
    graph = dict(graph)
    merges = []
    while graph:
        (a, b), (total, count, key) = min(graph.items(), key=lambda e: (-Fraction(e[1][0], e[1][1]), e[1][2]))
        if Fraction(total, count * 255) < lowest:
            break
        merges.append((a, b, total, count, key))
        merged: dict[tuple[int, int], tuple[int, int, int]] = {}
        for (u, v), (s, n, k) in graph.items():
            u, v = sorted((a if u == b else u, a if v == b else v))
            if u != v:
                s0, n0, k0 = merged.get((u, v), (0, 0, 0))
                merged[u, v] = (s0 + s, n0 + n, max(k0, k))
        graph = merged
    return merges


def segments(labels: np.ndarray, merges: Sequence[tuple[int, int, int, int, int]], threshold: Fraction) -> np.ndarray:
    """Labels after the merges of at least ``threshold``, dense by smallest fragment id."""
    result = labels.copy()
    for a, b, total, count, _ in merges:
        if Fraction(total, count * 255) >= threshold:
            result[result == b] = a
    ids = np.unique(result[result > 0])
    return np.where(result > 0, np.searchsorted(ids, result) + 1, 0)
