"""One key of a file gets another value, and nothing else of the file changes."""

from __future__ import annotations

import os
import stat
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axonloom.config.configuration import Configuration
from axonloom.config.editing import set_value, with_value
from axonloom.config.load import ConfigurationError, known_keys, load_configuration
from axonloom.config.template import template
from axonloom.config.yaml_1_2 import parse_yaml

MINE = """\
# My tissue.
workspace: ./work   # on the large disk
merge:              # as in the paper
  threshold: 0.5    # tried 0.4 to 0.6
  # dust: 0
  multicut: {beta: 0.2}

# How it is cut.
segment: {low: 0.05,   high: 0.99}
"""


@pytest.fixture
def mine(tmp_path) -> Path:
    path = tmp_path / "axonloom.yaml"
    path.write_text(MINE)
    return path


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        ("merge.threshold", "0.4", "threshold: 0.5 ", "threshold: 0.4 "),
        ("workspace", "/data/em", "workspace: ./work ", "workspace: /data/em "),
        ("segment.high", "0.9", "high: 0.99}", "high: 0.9}"),
        ("segment.absorb", "0", "high: 0.99}", "high: 0.99, absorb: 0}"),
        ("segment.waterz.per_section", "true", "high: 0.99}", "high: 0.99, waterz: {per_section: true}}"),
        ("merge.dust", "100", "  # dust: 0\n", "  # dust: 0\n  dust: 100\n"),
        ("merge.discard", "9", "{beta: 0.2}\n", "{beta: 0.2}\n  discard: 9\n"),
        ("merge.overlap.minimum", "0.6", "{beta: 0.2}\n", "{beta: 0.2}\n  overlap:\n    minimum: 0.6\n"),
        ("merge.multicut", "{weight: none}", "{beta: 0.2}", "{weight: none}"),
        ("blocks.shape", "[64, 64, 64]", "high: 0.99}\n", "high: 0.99}\nblocks:\n  shape: [64, 64, 64]\n"),
    ],
)
def test_only_the_value_changes(mine, key, value, old, new):
    set_value(mine, key, value)
    assert MINE.count(old) == 1
    assert mine.read_text() == MINE.replace(old, new)


def test_what_was_set_is_what_is_loaded(mine):
    set_value(mine, "merge.threshold", "0.35")
    set_value(mine, "volumes.image.path", "raw.h5:volumes/raw")
    found = load_configuration(mine)
    assert found.merge.threshold == Decimal("0.35")
    assert found.volumes.image is not None
    assert found.volumes.image.path == f"{mine.parent}/raw.h5:volumes/raw"


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("merge.treshold", "0.4", "unknown key merge.treshold; the nearest known key is merge.threshold"),
        ("merge.threshold", "1.5", "merge.threshold: Input should be less than or equal to 1"),
        ("merge.threshold", "0.01", "below merge.lowest"),
        ("merge.threshold", "[", "the value '\\[' is not YAML"),
        ("merge", "0.4", "merge: this is a section"),
        ("merge.threshold.low", "0.4", "merge.threshold has a value, and no keys"),
        ("segment.method", "waterz\nmutex", "segment.method"),
    ],
)
def test_a_refused_value_is_a_sentence_and_leaves_the_file(mine, key, value, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        set_value(mine, key, value)
    assert mine.read_text() == MINE


def test_a_refused_value_leaves_nothing_else_behind(mine):
    with pytest.raises(ConfigurationError):
        set_value(mine, "merge.threshold", "2")
    assert os.listdir(mine.parent) == [mine.name]


def test_a_missing_file_is_not_made(tmp_path):
    with pytest.raises(ConfigurationError, match="does not exist"):
        set_value(tmp_path / "none.yaml", "merge.threshold", "0.4")
    assert not (tmp_path / "none.yaml").exists()


def test_text_that_means_something_in_yaml_is_quoted(mine):
    set_value(mine, "volumes.image.path", '"a #b, c.tif"')
    set_value(mine, "segment.waterz", "{score: mean}")
    found = load_configuration(mine)
    assert found.volumes.image is not None
    assert found.volumes.image.path == f"{mine.parent}/a #b, c.tif"


def test_a_value_shared_by_an_alias_is_refused(mine):
    mine.write_text("merge: {threshold: &low 0.5, lowest: *low}\n")
    with pytest.raises(ConfigurationError, match=r"merge.lowest cannot be changed by itself"):
        set_value(mine, "merge.lowest", "0.1")


def test_line_ends_mode_and_link_stay(mine, tmp_path):
    mine.write_bytes(MINE.replace("\n", "\r\n").encode())
    mine.chmod(0o640)
    link = tmp_path / "link.yaml"
    link.symlink_to(mine)
    set_value(link, "merge.discard", "9")
    assert link.is_symlink()
    assert mine.read_bytes().count(b"\n") == mine.read_bytes().count(b"\r\n") == MINE.count("\n") + 1
    assert stat.S_IMODE(mine.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "merge:\n  dust: 5\n"),
        ("# nothing yet", "# nothing yet\nmerge:\n  dust: 5\n"),
        ("merge:\n", "merge:\n  dust: 5\n"),
        ("merge:\n    # dust: 0\n    # discard: 0\n", "merge:\n    # dust: 0\n    dust: 5\n    # discard: 0\n"),
        ("merge: {}", "merge: {dust: 5}"),
        ("{}", "{merge: {dust: 5}}"),
        ("merge:\n  threshold:\n    0.5\n", "merge:\n  threshold:\n    0.5\n  dust: 5\n"),
        ("merge: {threshold: 0.5, # why\n}", "merge: {threshold: 0.5, dust: 5, # why\n}"),
        ("merge:\n  threshold: 0.5", "merge:\n  threshold: 0.5\n  dust: 5\n"),
    ],
)
def test_a_key_is_added_whatever_form_its_section_has(text, expected):
    assert with_value(text, "merge.dust", "5", Path("x")) == expected


def test_a_list_in_block_form_is_replaced_whole():
    text = "blocks:\n  shape:\n    - 1\n    - 2\n    - 3\n# end\n"
    assert with_value(text, "blocks.shape", "[4, 5, 6]", Path("x")) == "blocks:\n  shape:\n    [4, 5, 6]\n# end\n"


SCALARS = sorted(key for key, section in known_keys(Configuration).items() if section is None)


@settings(max_examples=8, deadline=None)  # the template has a thousand lines
@given(st.lists(st.tuples(st.sampled_from(SCALARS), st.integers(0, 9)), min_size=1, max_size=4))
def test_any_keys_of_the_template_can_be_set_and_no_comment_is_lost(given_values):
    text, expected = template(), parse_yaml(template())
    for key, value in given_values:
        text = with_value(text, key, str(value), Path("axonloom.yaml"))
        *sections, name = key.split(".")
        part = expected
        for section in sections:
            part = part.setdefault(section, {})
        part[name] = value
    assert parse_yaml(text) == expected
    comments = [line.strip("# ") for line in template().splitlines() if line.lstrip().startswith("#")]
    kept = [line.strip("# ") for line in text.splitlines()]
    assert [line for line in comments if line not in kept] == []
