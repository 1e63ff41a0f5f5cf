"""What is said of settings is what the program checks, and the page of them is not stale."""

from __future__ import annotations

import pytest

from axonloom.config.configuration import Configuration
from axonloom.config.explain import as_markdown, as_yaml, explain
from axonloom.config.load import ConfigurationError, check_configuration, known_keys
from axonloom.config.yaml_1_2 import parse_yaml


def test_every_key_is_explained():
    found = explain()
    assert [each.key for each in found] == list(known_keys(Configuration))
    for each in found:
        assert each.meaning.endswith("."), each.key
        assert each.section or each.allowed not in ("", "anything"), each.key


def test_the_page_of_settings_is_what_the_program_says(repository):
    page = repository / "docs" / "configuration.md"
    assert page.read_text() == as_markdown(), "axonloom config explain --markdown > docs/configuration.md"


def test_a_section_is_explained_with_its_keys():
    found = explain("merge.multicut")
    assert [each.key for each in found] == ["merge.multicut", "merge.multicut.beta", "merge.multicut.weight"]


def test_bounds_choices_and_triples_in_words():
    allowed = {each.key: each.allowed for each in explain()}
    assert allowed["merge.threshold"] == "number, at least 0, at most 1"
    assert allowed["merge.multicut.weight"] == "none or root or contacts"
    assert allowed["blocks.shape"] == "3 in brackets, each: whole number, above 0"
    assert allowed["infer.skip_blank"] == "true or false"


@pytest.mark.parametrize(
    ("key", "value"), [("merge.threshold", 1.5), ("merge.multicut.weight", "other"), ("blocks.shape", [64, 0, 64])]
)
def test_what_is_not_named_as_allowed_is_refused(key, value):
    *sections, name = key.split(".")
    content = {name: value}
    for section in reversed(sections):
        content = {section: content}
    with pytest.raises(ConfigurationError):
        check_configuration(content, "here")


@pytest.mark.parametrize("key", ["merge.treshold", "nothing", "merge.threshold.low"])
def test_an_unknown_key(key):
    with pytest.raises(ConfigurationError):
        explain(key)


def test_defaults_are_yaml_that_means_the_same():
    for each in explain():
        if not each.section and each.default:
            assert as_yaml(parse_yaml(each.default)) == each.default or "." in each.default, each.key
