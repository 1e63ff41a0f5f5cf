"""Pictures are PNGs of the asked content, small enough for a page, and refuse what they cannot draw."""

from __future__ import annotations

import base64
import colorsys
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from axonloom import pictures

LIMIT = 300_000


def opened(png: bytes) -> np.ndarray:
    assert len(base64.b64encode(png)) <= LIMIT
    with Image.open(BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def holds(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((picture == np.array(colour)).all(axis=2).sum())


def test_grey_sections_keep_uint8_and_stretch_the_rest() -> None:
    section = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(pictures.slice_image(section)[..., 1], section)
    deep = np.linspace(-5.0, 9.0, 1000).reshape(10, 100)
    deep[0, 0] = np.nan
    out = pictures.slice_image(deep)
    assert out.dtype == np.uint8
    assert out.min() == 0
    assert out.max() == 255
    assert np.array_equal(pictures.slice_image(np.array([[2.0, 3.0, 4.0]]), (2, 4))[0, :, 0], [0, 128, 255])
    assert pictures.slice_image(np.full((3, 4), 7, np.uint16)).shape == (3, 4, 3)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20), st.integers(0, 5))
def test_the_colour_of_an_id_is_its_own_and_bright(ids: list[int], seed: int) -> None:
    row = np.array([ids], np.uint64)
    colours = pictures.colour_labels(row, seed)
    for n, label in enumerate(ids):
        alone = pictures.colour_labels(np.full((2, 3), label, np.uint64), seed)
        assert (alone == colours[0, n]).all()
        _, _, value = colorsys.rgb_to_hsv(*(colours[0, n] / 255))
        assert (value > 0.74) == (label != 0)


def test_colours_tell_objects_apart_and_follow_the_seed() -> None:
    ids = np.arange(1, 2001, dtype=np.uint32).reshape(40, 50)
    colours = pictures.colour_labels(ids).reshape(-1, 3)
    assert len(np.unique(colours, axis=0)) > 1950
    assert not np.array_equal(pictures.colour_labels(ids, 1).reshape(-1, 3), colours)


def test_an_overlay_is_between_image_and_labels_and_clear_at_zero() -> None:
    image = np.full((4, 6), 100, np.uint8)
    labels = np.zeros((4, 6), np.int32)
    labels[:, 3:] = 9
    out = pictures.overlay(image, labels, 0.25)
    assert (out[:, :3] == 100).all()
    expected = np.round(75 + 0.25 * pictures.colour_labels(labels)[0, 5].astype(float))
    assert np.array_equal(out[0, 5], expected)
    with pytest.raises(ValueError, match="one shape"):
        pictures.overlay(image, labels[:2])


def test_affinities_become_colours() -> None:
    whole = np.zeros((3, 2, 5), np.uint8)
    whole[0, 0, 1], whole[2, 1, 4] = 255, 51
    out = pictures.affinity_rgb(whole)
    assert tuple(out[0, 1]) == (255, 0, 0)
    assert tuple(out[1, 4]) == (0, 0, 51)
    assert np.array_equal(pictures.affinity_rgb(whole / np.float32(255)), out)
    with pytest.raises(ValueError, match="channels"):
        pictures.affinity_rgb(np.zeros((2, 4, 4)))


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (1500, 900), (37, 41)])
def test_panels_of_noise_stay_small(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    grey = random.integers(0, 256, shape, dtype=np.uint8)
    labels = pictures.colour_labels(random.integers(0, 2**40, shape))
    out = opened(pictures.panels([grey, labels, grey], ["image", "labels with a title far too long to fit", ""]))
    assert out.shape[1] >= 3


def test_panels_show_the_pixels_they_are_given() -> None:
    red = np.zeros((100, 80, 3), np.uint8)
    red[..., 0] = 250
    out = opened(pictures.panels([red, np.full((100, 80), 9, np.uint8)], max_pixels=2 * 100 * 80))
    assert holds(out, (250, 0, 0)) == 8000
    assert holds(out, (9, 9, 9)) == 8000
    with pytest.raises(ValueError, match="2 pictures need 2 titles"):
        pictures.panels([red, red], ["one"])
    with pytest.raises(ValueError, match="at least one"):
        pictures.panels([])


def test_a_block_map_shows_every_state() -> None:
    states = np.zeros((3, 10, 10), np.int8)
    states[0, :5], states[1, 2, 3], states[2, 9, 9] = 2, 3, 1
    out = opened(pictures.block_map(states))
    done = holds(out, (70, 160, 90))
    failed = holds(out, (206, 61, 61))
    swatch = 13 * 13
    assert (done - swatch) / (failed - swatch) == pytest.approx(50, rel=0.2)
    with pytest.raises(ValueError, match="legend names"):
        pictures.block_map(states + 2)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 900, 700), (400, 40, 40), (90, 1, 3), (1, 1, 5000)])
def test_one_failed_block_is_seen_in_any_grid(shape: tuple[int, int, int]) -> None:
    states = np.full(shape, 2, np.uint8)
    before = holds(opened(pictures.block_map(states)), (206, 61, 61))
    states[shape[0] // 2, shape[1] // 2, shape[2] // 2] = 3
    assert holds(opened(pictures.block_map(states)), (206, 61, 61)) > before


def test_a_loss_curve_draws_and_survives_bad_values() -> None:
    at = np.arange(5000)
    losses = np.exp(-at / 2000) + 0.01 * np.random.default_rng(0).random(5000)
    losses[[10, 20]] = np.nan, np.inf
    out = opened(pictures.loss_curve(at, losses, [(1000, 0.7), (3000, 0.4), (4000, float("nan"))]))
    assert holds(out, (255, 255, 255)) < out.shape[0] * out.shape[1]
    assert (out[..., 2].astype(int) - out[..., 0] > 60).any()
    assert (out[..., 0].astype(int) - out[..., 2] > 60).any()
    for none in ([], [float("nan")]):
        opened(pictures.loss_curve(range(len(none)), none))
    with pytest.raises(ValueError, match="one loss for each"):
        pictures.loss_curve([1, 2], [1.0])
