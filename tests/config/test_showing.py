"""``axonloom config show``, ``set``, ``explain`` and ``diff``, and files that include others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from axonloom.config.load import ConfigurationError, load_configuration
from cli.main import app

MINE = "workspace: ./work  # here\nmerge:\n  threshold: 0.4\n  # dust: 0\n"


@pytest.fixture
def mine(tmp_path) -> Path:
    path = tmp_path / "axonloom.yaml"
    path.write_text(MINE)
    return path


def said(*words: object, code: int = 0) -> str:
    found = CliRunner().invoke(app, ["config", *map(str, words)])
    assert found.exit_code == code, found.output
    return found.output


def test_show_is_a_table_of_what_is_not_by_default(mine):
    lines = said("show", mine).splitlines()
    assert lines[0].split() == ["Section", "Parameter", "Value"]
    assert [line.split() for line in lines if "threshold" in line] == [["merge", "threshold", "0.4", "default:", "0.5"]]
    assert "dust" not in "".join(lines)


def test_show_all_of_a_section(mine):
    found = json.loads(said("show", mine, "--section", "merge", "--all", "--json"))
    assert found["merge.threshold"] == "0.4"
    assert found["merge.dust"] == 0
    assert {key.split(".")[0] for key in found} == {"merge"}


def test_show_of_a_section_that_there_is_not(mine):
    assert "there is no section merg;" in said("show", mine, "--section", "merg", code=2)


def test_set_says_what_changed_and_keeps_comments(mine):
    assert said("set", "merge.dust", "50", "-c", mine).strip() == "merge.dust: 0 -> 50"
    assert mine.read_text() == MINE + "  dust: 50\n"
    assert "was so already" in said("set", "merge.dust", "50", "-c", mine)


def test_set_refuses_what_is_not_possible(mine):
    assert "merge.threshold" in said("set", "merge.threshold", "7", "-c", mine, code=2)
    assert mine.read_text() == MINE


def test_explain_and_its_sentence_for_a_typing_error():
    found = said("explain", "merge.threshold")
    assert "at least 0, at most 1; default 0.5" in found
    assert "nearest known key is merge.threshold" in " ".join(said("explain", "merge.treshold", code=2).split())


def test_diff_with_defaults_and_with_another_file(mine, tmp_path):
    assert "merge.threshold: 0.4 (by default 0.5)" in said("diff", mine)
    other = tmp_path / "other.yaml"
    other.write_text(MINE.replace("0.4", "0.3"))
    assert said("diff", mine, other).splitlines()[0].startswith("merge.threshold: 0.4 (in ")
    assert said("diff", mine, mine).strip() == "no setting differs"


def test_included_files_hold_where_the_file_says_nothing_else(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "volumes.yaml").write_text(
        "volumes: {image: {path: em.h5:raw}}\nmerge: {dust: 7, threshold: 0.1}\n"
    )
    (tmp_path / "parts" / "cluster.yaml").write_text("compute: {workers: 5}\nmerge: {dust: 9}\n")
    main = tmp_path / "axonloom.yaml"
    main.write_text("include: [parts/volumes.yaml, parts/cluster.yaml]\nmerge: {threshold: 0.4}\n")
    found = load_configuration(main, ["compute.workers=6"])
    assert found.volumes.image is not None
    assert found.volumes.image.path == str(tmp_path / "parts" / "em.h5:raw")
    assert (found.merge.dust, str(found.merge.threshold), found.compute.workers) == (9, "0.4", 6)


def test_set_in_a_file_that_includes_another_changes_that_file_alone(tmp_path):
    (tmp_path / "below.yaml").write_text("merge: {dust: 7}\n")
    main = tmp_path / "axonloom.yaml"
    main.write_text("include: below.yaml\n")
    assert said("set", "merge.dust", "8", "-c", main).strip() == "merge.dust: 7 -> 8"
    assert (tmp_path / "below.yaml").read_text() == "merge: {dust: 7}\n"
    assert load_configuration(main).merge.dust == 8


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("include: [none.yaml]", "include names .*none.yaml, which is no file"),
        ("include: [axonloom.yaml]", "includes this file itself"),
        ("include: {a: b}", "include is a list of YAML files"),
        ("include: [wrong.yaml]", "wrong.yaml: unknown key merge.treshold"),
    ],
)
def test_an_include_that_cannot_be(tmp_path, text, sentence):
    (tmp_path / "wrong.yaml").write_text("merge: {treshold: 0.4}\n")
    (tmp_path / "axonloom.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=sentence):
        load_configuration(tmp_path / "axonloom.yaml")
