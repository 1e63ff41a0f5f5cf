"""The page about a run: what it says of a chain that is done, half done, failed, and of names that are not harmless."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from axonloom.chain import Chain
from axonloom.config.load import load_configuration
from axonloom.report.facts import StageFacts, gather
from axonloom.report.page import page, write_report
from axonloom.report.sections import Section, in_proportion
from axonloom.stages.scores import score_chain
from cli.main import app
from flows.reconstruct import reconstruct
from tests.flows.affinity_project import configure, make_project

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def done(prefect_api, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a run that went through."""
    config = configure(project, tmp_path_factory.mktemp("done") / "work", (33, 64, 64))
    found = reconstruct(load_configuration(config))
    assert found["report"] == str(load_configuration(config).workspace / "report.html")
    return config


def pictures_of(text: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in found]


def test_a_chain_that_is_done(done):
    chain = Chain(load_configuration(done))
    text = (chain.workspace / "report.html").read_text()  # as the run left it
    assert f"All {len(list(chain.stages()))} stages are complete" in text
    for plan in chain.stages():
        assert plan.folder.name in text
    assert "axonloom==" in text
    pictures = pictures_of(text)
    assert len(pictures) == 3
    assert all(np.asarray(p.convert("L")).std() > 10 for p in pictures)
    scores = score_chain(chain)
    assert f"{scores.segmentation.voi:.4f}" in text
    assert f"{scores.fragments.voi:.4f}" in text
    assert text.count('class="chosen"') == 1


def test_the_page_needs_no_other_file(done):
    text = write_report(Chain(load_configuration(done))).read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert "<script" not in text


def test_its_settings_give_the_same_stages(done, tmp_path):
    chain = Chain(load_configuration(done))
    (tmp_path / "axonloom.yaml").write_text(gather(chain).settings)
    again = Chain(load_configuration(tmp_path / "axonloom.yaml"))
    assert [p.fingerprint for p in again.stages()] == [p.fingerprint for p in chain.stages()]


def test_a_chain_of_which_nothing_ran(project, tmp_path):
    config = configure(project, tmp_path / "work", (33, 64, 64))
    text = write_report(Chain(load_configuration(config))).read_text()
    assert "Not complete" in text
    assert not pictures_of(text)
    assert "adapted Rand" not in text


def test_failures_stand_in_it_and_names_cannot_break_it(done):
    facts = gather(Chain(load_configuration(done)))
    failed = StageFacts("fragment", "0" * 16, "failed", 3, 4, 1.0, 5.0, 4.0, (("2", "ValueError: <b>&\"'"),))
    text = page("<script>alert(1)</script>", dataclasses.replace(facts, stages=(failed,)), [], 0.0)
    assert "<script" not in text
    assert "ValueError: &lt;b&gt;&amp;" in text
    assert "Failed blocks" in text
    assert "1970-01-01" in text


def test_a_page_of_ones_own_is_not_written_over(done, tmp_path):
    out = tmp_path / "mine.html"
    made = CliRunner().invoke(app, ["report", str(done), "--out", str(out)])
    assert made.exit_code == 0, made.output
    assert "Done." in out.read_text()
    again = CliRunner().invoke(app, ["report", str(done), "--out", str(out)])
    assert again.exit_code == 2
    assert "is there already" in " ".join(again.output.split())


def test_a_configuration_that_segments_nothing(tmp_path):
    (tmp_path / "axonloom.yaml").write_text(yaml.safe_dump({"workspace": "work"}))
    found = CliRunner().invoke(app, ["report", str(tmp_path / "axonloom.yaml")])
    assert found.exit_code == 2
    assert not (tmp_path / "work" / "report.html").exists()


@pytest.mark.parametrize("across", [0, 1, 2])
def test_the_middle_section(across):
    volume = np.arange(7 * 500 * 9).reshape(7, 500, 9)
    section = Section.middle(volume.shape, across)
    assert section.box.shape[across] == 1
    assert section.box.origin[across] == volume.shape[across] // 2
    flat = section.flat(volume[section.box.slices])
    assert flat.shape == tuple(min(n, 384) for axis, n in enumerate(volume.shape) if axis != across)
    np.testing.assert_array_equal(section.flat(np.stack([volume, volume])[:, *section.box.slices])[1], flat)


def test_thick_sections_are_drawn_in_proportion():
    picture = np.zeros((4, 6, 3), np.uint8)
    assert in_proportion(picture, (40, 8, 8), 1).shape == (20, 6, 3)
    assert in_proportion(picture, (40, 8, 8), 0).shape == (4, 6, 3)
    assert in_proportion(picture, (8, 8, 30), 1).shape == (4, 24, 3)
    assert in_proportion(picture, None, 1).shape == (4, 6, 3)
